"""Losses of the region-proposal network.

Both losses match the predicted boxes, not their anchors, to the true boxes: a
box that has been moved onto an object is positive, wherever its anchor is.

True boxes have the shape `(batch, objects, 4)` and the format `"yxyx"` of
`keras.utils.bounding_boxes`. Images with fewer objects than others are padded
with boxes of zero area, such as all zeros.
"""

import keras
import numpy as np
from keras import ops
from keras.utils import bounding_boxes


def match_boxes(true_boxes, boxes, positive_iou=0.5, negative_iou=0.1):
    """Matches boxes to the true boxes: positives, negatives, best match.

    Args:
        true_boxes: Tensor of shape `(batch, objects, 4)`.
        boxes: Tensor of shape `(batch, boxes, 4)`.
        positive_iou: Float. A box is positive if its IOU with a true box is
            above it; so is, for each true box that a box overlaps, the box with
            the highest IOU.
        negative_iou: Float. A box is negative if its IOU with all true boxes is
            below it.

    Returns:
        Tuple of two boolean tensors of shape `(batch, boxes)`, the positive and
        the negative boxes; and a tensor of shape `(batch, boxes, 4)`, the true
        box that matches each box best.
    """
    has_area = ops.all(true_boxes[..., 2:] > true_boxes[..., :2], axis=-1)[
        :, None
    ]
    iou = bounding_boxes.compute_iou(boxes, true_boxes, "yxyx")
    iou = ops.where(has_area, iou, 0)
    is_overlapped = ops.max(iou, axis=1, keepdims=True) > 0
    is_closest = ops.one_hot(
        ops.argmax(iou, axis=1), boxes.shape[1], axis=1, dtype=iou.dtype
    )
    # The closest box of a true box counts as a perfect match.
    fit = iou + ops.where(is_overlapped, is_closest, 0)
    matched = ops.take_along_axis(
        true_boxes, ops.argmax(fit, axis=-1)[..., None], axis=1
    )
    fit = ops.max(fit, axis=-1)
    return fit > positive_iou, fit < negative_iou, matched


class _SampledLoss(keras.losses.Loss):
    """Base class of losses that sample boxes of each image; see `ScoreLoss`."""

    def __init__(
        self,
        samples=6,
        positive_iou=0.5,
        negative_iou=0.1,
        seed=None,
        name=None,
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.samples = samples
        self.positive_iou = positive_iou
        self.negative_iou = negative_iou
        if not isinstance(seed, keras.random.SeedGenerator):
            seed = keras.random.SeedGenerator(seed)
        self.seed_generator = seed

    def _match(self, true_boxes, boxes):
        return match_boxes(
            true_boxes,
            ops.stop_gradient(boxes),
            self.positive_iou,
            self.negative_iou,
        )

    def _draw(self, candidates):
        """Draws up to `samples` of the candidates of each image."""
        numbers = keras.random.uniform(
            ops.shape(candidates), seed=self.seed_generator
        )
        numbers = ops.where(candidates, numbers, 0)
        threshold = ops.top_k(numbers, self.samples)[0][:, -1:]
        return ops.logical_and(candidates, numbers >= threshold)

    def get_config(self):
        return {
            **super().get_config(),
            "samples": self.samples,
            "positive_iou": self.positive_iou,
            "negative_iou": self.negative_iou,
            "seed": self.seed_generator.get_config()["seed"],
        }


@keras.saving.register_keras_serializable(package="keras_coordconv")
class BoxLoss(_SampledLoss):
    """Smooth L1 loss between the deltas of positive boxes and their targets.

    Each of the four differences counts as its square up to 1, and as its
    absolute value beyond, as in the authors' code. The loss of an image is the
    sum of the four, averaged over the sampled boxes.

    Args:
        anchors: Array of shape `(anchors, 4)`, the boxes that the deltas move.
        **kwargs: See `ScoreLoss`.

    Call arguments:
        y_true: True boxes, `(batch, objects, 4)`.
        y_pred: Deltas of the anchors, `(batch, anchors, 4)`, in the format of
            `keras.utils.bounding_boxes.encode_box_to_deltas`.

    Example:

    >>> loss = BoxLoss(anchors=[[0, 0, 10, 10]], seed=0)
    >>> loss([[[0, 5, 10, 15]]], [[[0, 0, 0, 0]]])
    0.25
    """

    def __init__(self, anchors, name="box_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.anchors = np.asarray(anchors, "float32").tolist()

    def call(self, y_true, y_pred):
        anchors = np.array(self.anchors, "float32")
        formats = {"anchor_format": "yxyx", "box_format": "yxyx"}
        boxes = bounding_boxes.decode_deltas_to_boxes(
            anchors, y_pred, **formats
        )
        positive, _, matched = self._match(y_true, boxes)
        deltas = bounding_boxes.encode_box_to_deltas(
            anchors, matched, **formats
        )
        errors = ops.abs(y_pred - deltas)
        errors = ops.where(errors > 1, errors, ops.square(errors))
        return _mean(ops.sum(errors, axis=-1), self._draw(positive))

    def get_config(self):
        return {**super().get_config(), "anchors": self.anchors}


@keras.saving.register_keras_serializable(package="keras_coordconv")
class ScoreLoss(_SampledLoss):
    """Cross-entropy of object against background, for sampled boxes.

    Args:
        samples: Integer, maximum number of positive boxes, and of negative
            boxes, that are sampled per image. 6 in the paper.
        positive_iou, negative_iou: See `match_boxes`.
        seed: Integer, or a `keras.random.SeedGenerator`. If the generator is an
            attribute of the model, a resumed run continues with its state.
        name: String, the loss's name.
        reduction, dtype: See `keras.losses.Loss`.

    Call arguments:
        y_true: True boxes, `(batch, objects, 4)`.
        y_pred: Boxes with their logits of object and background,
            `(batch, boxes, 6)`.

    Example:

    >>> loss = ScoreLoss(seed=0)
    >>> loss([[[0, 0, 10, 10]]], [[[0, 0, 10, 10, 0.5, 0.5]]])
    0.6931472
    """

    def __init__(self, name="score_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        positive, negative, _ = self._match(y_true, y_pred[..., :4])
        errors = keras.losses.sparse_categorical_crossentropy(
            ops.logical_not(positive), y_pred[..., 4:], from_logits=True
        )
        drawn = ops.logical_or(self._draw(positive), self._draw(negative))
        return _mean(errors, drawn)


def _mean(values, drawn):
    """Averages over the sampled boxes of each image; 0 if there are none."""
    drawn = ops.cast(drawn, values.dtype)
    count = ops.maximum(ops.sum(drawn, axis=-1), 1)
    return ops.sum(values * drawn, axis=-1) / count
