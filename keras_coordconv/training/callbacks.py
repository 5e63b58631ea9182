"""Keras callbacks that the training scripts use."""

import math
import time

import keras


class ScoreTrainSetWhenPerfect(keras.callbacks.Callback):
    """Adds `train_<score>` to the logs once the test set is perfect.

    The score that `fit` reports for the training set is an average over the
    epoch. To know when a model is perfect on both sets, this evaluates the
    training set after each epoch that ends with a perfect test set; after the
    others it saves the time and logs NaN.

    Args:
        train_data: Data set for `evaluate`.
        score: String, the metric, as `"accuracy"`.
        is_perfect: Function of a score, to a boolean.
    """

    def __init__(self, train_data, score, is_perfect):
        super().__init__()
        self.train_data = train_data
        self.score = score
        self.is_perfect = is_perfect

    def on_epoch_end(self, epoch, logs=None):
        logs[f"train_{self.score}"] = math.nan
        if self.is_perfect(find_score(logs, "val_", self.score)):
            results = self.model.evaluate(
                self.train_data, verbose=0, return_dict=True
            )
            logs[f"train_{self.score}"] = find_score(results, "", self.score)


class Throughput(keras.callbacks.Callback):
    """Adds `images_per_second` of training to the logs.

    It is the mean of the epoch so far, without its first batch, in which the
    graph is compiled and the data set begins, and without the validation.

    Args:
        batch_size: Integer, images in a batch, of all devices.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        self.batches = -1
        self.rate = math.nan

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == 0:
            self.start = time.perf_counter()
            return
        seconds = time.perf_counter() - self.start
        self.rate = self.batches * self.batch_size / seconds
        logs["images_per_second"] = self.rate

    def on_epoch_end(self, epoch, logs=None):
        logs["images_per_second"] = self.rate


class ReportUndecodable(keras.callbacks.Callback):
    """Says after each epoch how many more images could not be decoded.

    They are those of this process, and `undecodable_images` in the logs.

    Args:
        left_out: Integer `tf.Variable` that counts them.
    """

    def __init__(self, left_out):
        super().__init__()
        self.left_out = left_out
        self.reported = 0

    def on_epoch_end(self, epoch, logs=None):
        total = int(self.left_out.numpy())
        new = total - self.reported
        self.reported = total
        logs["undecodable_images"] = new
        if new:
            print(
                f"\n{new} training images of epoch {epoch + 1} could not be "
                "decoded and were left out."
            )


def seconds_to_perfect(history, score, is_perfect):
    """Seconds of training until both sets were perfect, or `None`.

    Args:
        history: Rows of a run's history, with `ScoreTrainSetWhenPerfect`.
        score: String, the metric.
        is_perfect: Function of a score, to a boolean; false for NaN.
    """
    for row in history:
        scores = (row[f"train_{score}"], find_score(row, "val_", score))
        if all(map(is_perfect, scores)):
            return row["seconds"]
    return None


def find_score(logs, prefix, score):
    """Value of a score; Keras puts the output's name before it, if several."""
    return next(
        value
        for name, value in logs.items()
        if name.startswith(prefix) and name.endswith(score)
    )
