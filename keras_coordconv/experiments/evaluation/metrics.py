"""Metrics of the paper's tasks."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_coordconv")
class MeanPixelDistance(keras.metrics.Mean):
    """Mean Euclidean distance between predicted and true locations, in pixels.

    Args:
        canvas_size: Number, pixels per unit of the locations, which are given
            as fractions of the canvas.
        name: String, the metric's name.
        dtype: The dtype of the result.

    Example:

    >>> metric = MeanPixelDistance(canvas_size=64)
    >>> metric.update_state([[0.5, 0.5]], [[0.5 + 3 / 64, 0.5 + 4 / 64]])
    >>> metric.result()
    5.0
    """

    def __init__(self, canvas_size=64, name="distance", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.canvas_size = canvas_size
        self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Accumulates a batch of locations, `(batch, 2)` each."""
        y_true = ops.cast(y_true, self.dtype)
        y_pred = ops.cast(y_pred, self.dtype)
        offsets = self.canvas_size * ops.subtract(y_pred, y_true)
        distances = ops.sqrt(ops.sum(ops.square(offsets), axis=-1))
        return super().update_state(distances, sample_weight)

    def get_config(self):
        return {
            "canvas_size": self.canvas_size,
            "name": self.name,
            "dtype": self.dtype,
        }


@keras.saving.register_keras_serializable(package="keras_coordconv")
class MeanImageIoU(keras.metrics.Mean):
    """Intersection over union of painted pixels, averaged over the images.

    The rendering metric of the paper (Section 4). An image without
    painted pixels, in the target and in the prediction, counts as 1. This
    differs from `keras.metrics.MeanIoU`, which counts the pixels of all images
    together, and the background as a class.

    Args:
        threshold: Float. A pixel is painted if the prediction is above it: 0
            for logits, 0.5 for probabilities.
        name: String, the metric's name.
        dtype: The dtype of the result.

    Example:

    >>> metric = MeanImageIoU(threshold=0.5)
    >>> metric.update_state([[1, 1, 0]], [[0.9, 0.1, 0.9]])
    >>> metric.result()
    0.33333334
    """

    def __init__(self, threshold=0.0, name="iou", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.threshold = threshold
        self._direction = "up"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Accumulates a batch of images, `(batch, ...)`; targets are 0 or 1."""
        axes = tuple(range(1, len(y_pred.shape)))
        true = ops.cast(ops.greater(y_true, 0.5), self.dtype)
        painted = ops.cast(ops.greater(y_pred, self.threshold), self.dtype)
        intersection = ops.sum(true * painted, axis=axes)
        union = ops.sum(ops.maximum(true, painted), axis=axes)
        iou = ops.where(
            ops.equal(union, 0), 1.0, intersection / ops.maximum(union, 1.0)
        )
        return super().update_state(iou, sample_weight)

    def get_config(self):
        return {
            "threshold": self.threshold,
            "name": self.name,
            "dtype": self.dtype,
        }
