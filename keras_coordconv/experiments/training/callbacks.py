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
