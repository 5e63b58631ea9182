"""Keras callbacks for training on many images."""

import time

import keras


class Throughput(keras.callbacks.Callback):
    """Adds `images_per_second` of training to the logs.

    It is the mean of the epoch so far, without the validation and without the
    first batch, in which the graph is compiled and the data set begins. An
    epoch of one batch has none.

    Args:
        batch_size: Integer, images in a batch, of all devices.
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
    """Says after each epoch how many images could not be decoded in it.

    The number is in the logs, too, as `undecodable_images`. It is that of this
    process.

    Args:
        skipped: Integer `tf.Variable` that counts them.
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
                f"\n{new} training images of epoch {epoch + 1} could not be "
                "decoded and were left out."
            )
