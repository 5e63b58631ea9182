"""Object detection: the region-proposal network of Faster R-CNN, Section 5.

The model proposes 9 boxes at each of 13x13 positions of a 64x64 image. For each
fixed box, the anchor, it predicts 4 `deltas`, which move it, and 2 logits, of
object and background. `detector` keeps the best of the proposals.

Boxes are in the format `"yxyx"` of `keras.utils.bounding_boxes`: top, left,
bottom, right, in pixels from the image's upper left corner.
"""

import keras
import numpy as np
from keras import initializers
from keras import layers
from keras import ops
from keras.utils import bounding_boxes

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models.blocks import l2_penalty
from keras_coordconv.layers import CoordConv2D

COORDCONV_SITES = ("image", "features", "boxes", "scores")
PAPER_SITES = ("image", "features", "boxes")
ANCHOR_LAYOUTS = ("grid", "scrambled")

# Sides of the anchors (height, width) and their centers per axis, in pixels.
_SIDES = (
    *((15, 15), (20, 20), (25, 25), (15, 20), (20, 25)),
    *((20, 15), (25, 20), (15, 25), (25, 15)),
)
_CENTERS = range(8, 57, 4)


def anchor_boxes(layout="grid"):
    """Returns the anchors: the boxes that the model moves.

    Args:
        layout: String. `"grid"`: 9 boxes with different sides, centered at each
            position. `"scrambled"`: the same numbers in the order of the
            authors' code, which writes the 9 anchors of a position as 9 rows, 9
            columns, 9 heights and 9 widths, but reads them as 9 times a row, a
            column, a height and a width.

    Returns:
        Float32 array of shape `(1521, 4)`, top, left, bottom and right.

    Raises:
        ValueError: if the layout is unknown.
    """
    if layout not in ANCHOR_LAYOUTS:
        raise ValueError(
            f"`layout` must be one of {', '.join(ANCHOR_LAYOUTS)}. "
            f"Received: layout={layout!r}"
        )
    anchors = np.array(
        [
            [(row, column, height, width) for height, width in _SIDES]
            for row in _CENTERS
            for column in _CENTERS
        ]
    )
    if layout == "scrambled":
        anchors = anchors.swapaxes(1, 2).reshape(anchors.shape)
    centers, sides = np.split(anchors.reshape(-1, 4), 2, axis=-1)
    corners = [centers - sides / 2, centers + sides / 2]
    return np.concatenate(corners, axis=-1).astype("float32")


def region_proposal_model(
    coordinates=PAPER_SITES,
    anchors=None,
    width=1,
    l2=0.0,
    name="region_proposal_model",
):
    """Region-proposal model with CoordConvs in the chosen layers.

    81,590 parameters without coordinates, 83,838 with coordinates in the
    layers that have them in the paper.

    Args:
        coordinates: Sequence of strings, the layers that are CoordConvs:
            `"image"`, the first layer; `"features"`, the first layer on the
            13x13 map; `"boxes"`, the layer that predicts the deltas;
            `"scores"`, the layer that predicts the logits (not in the paper).
            An empty sequence gives plain convolutions.
        anchors: Array of shape `(1521, 4)`. Defaults to `anchor_boxes()`.
        width: Integer, factor on the number of filters.
        l2: Float, weight of the penalty on the sum of the squared kernels.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, 64, 64, 1)` in
        `[0, 1]`, to a dictionary: `deltas`, `(batch, 1521, 4)`, in the format
        of `keras.utils.bounding_boxes.encode_box_to_deltas`; and `proposals`,
        `(batch, 1521, 6)`, the moved anchors followed by the logits of object
        and background.

    Raises:
        ValueError: if `coordinates` has an unknown layer.
    """
    unknown = set(coordinates) - set(COORDCONV_SITES)
    if unknown:
        raise ValueError(
            f"`coordinates` must be among {', '.join(COORDCONV_SITES)}. "
            f"Received: coordinates={coordinates!r}"
        )
    anchors = anchor_boxes() if anchors is None else anchors

    def convolve(x, site, filters, kernel_size, name, **arguments):
        layer = CoordConv2D if site in coordinates else layers.Conv2D
        return layer(
            filters,
            kernel_size,
            **{"kernel_initializer": initializers.HeNormal(), **arguments},
            kernel_regularizer=l2_penalty(l2),
            name=name,
        )(x)

    relu = {"activation": "relu"}
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = convolve(inputs, "image", 32 * width, 5, "conv1", **relu)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = convolve(x, None, 64 * width, 5, "conv2", **relu)
    x = layers.MaxPooling2D(name="pool2")(x)
    same = {**relu, "padding": "same"}
    x = convolve(x, "features", 32 * width, 3, "features", **same)
    deltas = convolve(x, None, 32 * width, 3, "box_features", **same)
    deltas = convolve(
        deltas, "boxes", 4 * len(_SIDES), 1, "boxes", kernel_initializer="zeros"
    )
    deltas = layers.Reshape((-1, 4), dtype="float32", name="deltas")(deltas)
    logits = convolve(x, "scores", 2 * len(_SIDES), 1, "scores")
    logits = layers.Reshape((-1, 2), dtype="float32", name="logits")(logits)
    moved = MoveAnchors(anchors, dtype="float32", name="moved_anchors")(deltas)
    proposals = layers.Concatenate(dtype="float32", name="proposals")(
        [moved, logits]
    )
    return keras.Model(
        inputs, {"deltas": deltas, "proposals": proposals}, name=name
    )


def detector(model, iou_threshold=0.8, max_boxes=10, name="detector"):
    """Model for inference: keeps the best boxes, with their scores.

    Args:
        model: Model from `region_proposal_model`.
        iou_threshold: Float. Of two boxes whose IOU is above it, only the one
            with the higher score is kept. 0.8 in the paper.
        max_boxes: Integer, maximum number of boxes to keep. 10 in the paper.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to a dictionary: `boxes`,
        `(batch, max_boxes, 4)`, clipped to the image, the best first, and
        `scores`, `(batch, max_boxes)`, in `[0, 1]`. If fewer boxes are left,
        both are padded with 0.
    """
    keep = KeepBestBoxes(
        iou_threshold, max_boxes, dtype="float32", name="keep_best"
    )
    # By position: models saved with version 0.2.0 name the outputs otherwise.
    _, proposals = model.output.values()
    return keras.Model(model.input, keep(proposals), name=name)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class MoveAnchors(layers.Layer):
    """Layer that moves anchors by deltas of shape `(batch, anchors, 4)`.

    Args:
        anchors: Array of shape `(anchors, 4)`, top, left, bottom and right.
    """

    def __init__(self, anchors, **kwargs):
        super().__init__(**kwargs)
        self.anchors = np.asarray(anchors, "float32").tolist()

    def call(self, deltas):
        return bounding_boxes.decode_deltas_to_boxes(
            np.array(self.anchors, "float32"),
            deltas,
            anchor_format="yxyx",
            box_format="yxyx",
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "anchors": self.anchors}


@keras.saving.register_keras_serializable(package="keras_coordconv")
class KeepBestBoxes(layers.Layer):
    """Non-maximum suppression of boxes, clipped to the image.

    The input, of shape `(batch, boxes, 6)`, holds boxes and the logits of
    object and background. The outputs are the `boxes` and `scores` of
    `detector`.

    Args:
        iou_threshold, max_boxes: See `detector`.
    """

    def __init__(self, iou_threshold=0.8, max_boxes=10, **kwargs):
        super().__init__(**kwargs)
        self.iou_threshold = iou_threshold
        self.max_boxes = max_boxes

    def call(self, proposals):
        boxes = ops.clip(proposals[..., :4], 0, CANVAS_SIZE)
        scores = ops.softmax(proposals[..., 4:])[..., 0]
        has_area = ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        scores = ops.where(has_area, scores, 0)
        kept_boxes, kept_scores = [], []
        for _ in range(self.max_boxes):
            best = ops.argmax(scores, axis=-1)[:, None]
            box = ops.take_along_axis(boxes, best[..., None], axis=1)
            score = ops.take_along_axis(scores, best, axis=1)
            kept_boxes.append(box * ops.cast(score > 0, box.dtype)[..., None])
            kept_scores.append(score)
            iou = bounding_boxes.compute_iou(box, boxes, "yxyx")[:, 0]
            is_kept = ops.arange(boxes.shape[1]) == ops.cast(best, "int32")
            scores = ops.where(
                ops.logical_or(is_kept, iou > self.iou_threshold), 0, scores
            )
        return {
            "boxes": ops.concatenate(kept_boxes, axis=1),
            "scores": ops.concatenate(kept_scores, axis=1),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "iou_threshold": self.iou_threshold,
            "max_boxes": self.max_boxes,
        }
