"""Losses of the region-proposal net.

The net moves boxes, and each loss looks at where they are now: a box that has
moved onto an object is a positive one, whatever its anchor was.

True boxes are `(batch, objects, 4)` in the format `"yxyx"` of
`keras.utils.bounding_boxes`. Images with fewer boxes than others are filled up
with boxes without area, as all zeros.
"""

import keras
import numpy as np
from keras import ops
from keras.utils import bounding_boxes


def match_boxes(true_boxes, boxes, positive_iou=0.5, negative_iou=0.1):
    """Says which boxes are on an object, and which are on none.

    Args:
        true_boxes: Tensor of shape `(batch, objects, 4)`.
        boxes: Tensor of shape `(batch, boxes, 4)`.
        positive_iou: Float. Boxes whose IOU with a truth is above it are on an
            object; so is, for each truth, the box with the highest IOU.
        negative_iou: Float. Boxes that are below it for all true boxes are on
            none.

    Returns:
        Tuple of two boolean tensors of shape `(batch, boxes)`, on an object and
        on none; and, of shape `(batch, boxes, 4)`, the truth that fits best.
    """
    has_area = ops.all(true_boxes[..., 2:] > true_boxes[..., :2], axis=-1)[
        :, None
    ]
    iou = bounding_boxes.compute_iou(boxes, true_boxes, "yxyx")
    iou = ops.where(has_area, iou, 0)
    is_closest = ops.one_hot(
        ops.argmax(iou, axis=1), boxes.shape[1], axis=1, dtype=iou.dtype
    )
    # The closest box of a truth counts as one that fits perfectly.
    fit = iou + ops.where(has_area, is_closest, 0)
    matched = ops.take_along_axis(
        true_boxes, ops.argmax(fit, axis=-1)[..., None], axis=1
    )
    fit = ops.max(fit, axis=-1)
    return fit > positive_iou, fit < negative_iou, matched


class _SampledLoss(keras.losses.Loss):
    """A loss of some boxes of each image, drawn at random; see `ScoreLoss`."""

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
        """At most `samples` of the candidates of each image."""
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
    """How far boxes on an object are from it, in moves of the anchors.

    Each of the four differences counts as its square up to 1, and as its
    absolute value beyond: the smooth L1 of the paper's code. The loss of an
    image is their sum, averaged over the boxes drawn.

    Args:
        anchors: Array of shape `(anchors, 4)`, the boxes before the moves.
        **kwargs: As for `ScoreLoss`.

    Call arguments:
        y_true: Boxes of the objects, `(batch, objects, 4)`.
        y_pred: Moves of the anchors, `(batch, anchors, 4)`, as from
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
    """Cross-entropy of object against background, of boxes on one and on none.

    Args:
        samples: Integer, how many boxes on an object are drawn from each image,
            and how many on none, at most. 6 in the paper.
        positive_iou, negative_iou: As for `match_boxes`.
        seed: Integer, or a `keras.random.SeedGenerator`. Make that one an
            attribute of the model, and a run that is resumed goes on with it.
        name: String, the loss's name.
        reduction, dtype: As for `keras.losses.Loss`.

    Call arguments:
        y_true: Boxes of the objects, `(batch, objects, 4)`.
        y_pred: Boxes, and their logits of object and background,
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
    """Mean of each image over the boxes drawn; 0 where there are none."""
    drawn = ops.cast(drawn, values.dtype)
    count = ops.maximum(ops.sum(drawn, axis=-1), 1)
    return ops.sum(values * drawn, axis=-1) / count
