"""Keras callbacks that the training scripts use."""

import math

import keras


class TrainAccuracyWhenPerfect(keras.callbacks.Callback):
    """Adds `train_accuracy` to the logs once the test set is perfect.

    The training accuracy that `fit` reports is an average over the epoch. To
    know when a model is perfect on both sets, this evaluates the training set
    after each epoch that ends with a validation accuracy of 1; after the others
    it saves the time and logs NaN.

    Args:
        train_data: Data set for `evaluate`.
    """

    def __init__(self, train_data):
        super().__init__()
        self.train_data = train_data

    def on_epoch_end(self, epoch, logs=None):
        logs["train_accuracy"] = math.nan
        if logs["val_accuracy"] == 1:
            logs["train_accuracy"] = self.model.evaluate(
                self.train_data, verbose=0, return_dict=True
            )["accuracy"]


def seconds_to_perfect(history):
    """Seconds of training until both sets had accuracy 1, or `None`.

    Args:
        history: Rows of a run's history, with `TrainAccuracyWhenPerfect`.
    """
    for row in history:
        if row["train_accuracy"] == 1 and row["val_accuracy"] == 1:
            return row["seconds"]
    return None
