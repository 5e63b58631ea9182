"""Keras callbacks, and the names in the logs."""

import time

import keras
import numpy as np


class Throughput(keras.callbacks.Callback):
    """Callback that adds `images_per_second` of training to the logs.

    The rate is the mean over the epoch so far. It excludes validation and the
    first batch, during which the graph is compiled and the data set starts. An
    epoch of one batch has no rate.

    Args:
        batch_size: Integer, images per batch on all devices together.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        self.batches = -1
        self.rate = None

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == 0:
            self.start = time.perf_counter()
            return
        seconds = time.perf_counter() - self.start
        self.rate = self.batches * self.batch_size / seconds
        logs["images_per_second"] = self.rate

    def on_epoch_end(self, epoch, logs=None):
        if self.rate is not None:
            logs["images_per_second"] = self.rate


class ReportSkippedImages(keras.callbacks.Callback):
    """Callback that reports the images skipped in each epoch.

    Images are skipped if they cannot be decoded. Their number is printed, and
    added to the logs as `undecodable_images`. It counts this process only.

    Args:
        skipped: Integer `tf.Variable` that counts the skipped images.
    """

    def __init__(self, skipped):
        super().__init__()
        self.skipped = skipped
        self.reported = 0

    def on_epoch_end(self, epoch, logs=None):
        total = int(self.skipped.numpy())
        new = total - self.reported
        self.reported = total
        logs["undecodable_images"] = new
        if new:
            print(
                f"\nSkipped {new} training images in epoch {epoch + 1}: they "
                "could not be decoded."
            )


class TimeToTarget(keras.callbacks.Callback):
    """Callback that finds when a model reaches a score on both data sets.

    The training score that `fit` logs is an average over the epoch, during
    which the weights change. After each epoch in which the validation score is
    reached, this callback re-evaluates the training set and adds
    `train_<score>` to the logs.

    Args:
        train_data: Training set, as for `evaluate`.
        score: String, name of the metric, such as `"accuracy"`.
        min_score: Number, the smallest score that counts as reached.
        max_score: Number, the largest score that counts as reached.

    Example:

    >>> perfect = TimeToTarget(train_data, "accuracy", min_score=1)
    >>> run.fit(model, data, 10, validation_data=test, callbacks=[perfect])
    >>> perfect.seconds(run.history)
    18.5
    """

    def __init__(self, train_data, score, min_score=-np.inf, max_score=np.inf):
        super().__init__()
        self.train_data = train_data
        self.score = score
        self.min_score = min_score
        self.max_score = max_score

    def on_epoch_end(self, epoch, logs=None):
        if self._is_reached(plain_names(logs), "val"):
            results = self.model.evaluate(
                self.train_data, verbose=0, return_dict=True
            )
            logs[f"train_{self.score}"] = plain_names(results)[self.score]

    def seconds(self, history):
        """Returns the training time until both scores were reached.

        Args:
            history: List of dictionaries, such as `Run.history`.

        Returns:
            Float, in seconds, or `None` if they were not reached.
        """
        for row in history:
            if self._is_reached(row, "train") and self._is_reached(row, "val"):
                return row["seconds"]
        return None

    def _is_reached(self, row, subset):
        score = row.get(f"{subset}_{self.score}", np.nan)
        return self.min_score <= score <= self.max_score


def plain_names(logs):
    """Removes the names of outputs from the names of metrics in Keras's logs.

    A model with several outputs logs `image_iou`, which becomes `iou`. Losses
    keep their names, as do metrics whose new names would not be unique.

    Args:
        logs: Dictionary of numbers by name, from `fit` or `evaluate`.

    Returns:
        Dictionary of the same numbers.

    Example:

    >>> plain_names({"loss": 3, "image_loss": 2, "a_loss": 1, "image_iou": 0})
    {'loss': 3, 'image_loss': 2, 'a_loss': 1, 'iou': 0}
    """
    outputs = [
        name.removesuffix("loss")
        for name in logs
        if name.endswith("_loss") and not name.startswith("val_")
    ]

    def plain(name):
        metric = name.removeprefix("val_")
        prefix = name.removesuffix(metric)
        for output in outputs:
            if metric.startswith(output) and metric != f"{output}loss":
                return prefix + metric.removeprefix(output)
        return name

    plain_to_full = {}
    for name in logs:
        plain_to_full.setdefault(plain(name), []).append(name)
    return {
        (plain_name if len(names) == 1 else name): logs[name]
        for plain_name, names in plain_to_full.items()
        for name in names
    }
