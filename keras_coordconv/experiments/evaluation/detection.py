"""Metrics of a detector: the paper's IOUs, and COCO's average precision.

Boxes are NumPy arrays of shape `(images, boxes, 4)` in the format `"yxyx"` of
`keras.utils.bounding_boxes`. Images with fewer boxes than others are padded:
with scores of 0, and with true boxes of zero area.
"""

import numpy as np
from keras import ops
from keras.utils import bounding_boxes

AP_IOUS = np.linspace(0.5, 0.95, 10)
# Number of boxes per image that COCO scores, those with the highest scores.
MAX_BOXES = 100
# Recalls at which COCO reads the precision.
_RECALLS = np.linspace(0, 1, 101)


def mean_ious(boxes, scores, true_boxes):
    """Computes the paper's two mean IOUs of boxes and true boxes.

    Each is averaged within an image, then over the images. An image without
    boxes or without true boxes counts as 0.

    Args:
        boxes: Array of shape `(images, boxes, 4)`.
        scores: Array of shape `(images, boxes)`.
        true_boxes: Array of shape `(images, objects, 4)`.

    Returns:
        Dictionary of two floats: `iou`, the mean over all pairs of a box and a
        true box, which is low even for a perfect detector, since a box matches
        only one true box; and `best_iou`, the mean over the boxes of the IOU
        with the true box that matches best.
    """
    iou, is_box, is_true_box = _overlaps(boxes, scores, true_boxes)
    box_count = np.maximum(is_box.sum(axis=1), 1)
    true_count = np.maximum(is_true_box.sum(axis=1), 1)
    pairs = iou.sum(axis=(1, 2)) / (box_count * true_count)
    best = iou.max(axis=2, initial=0).sum(axis=1) / box_count
    return {"iou": float(pairs.mean()), "best_iou": float(best.mean())}


def average_precision(boxes, scores, true_boxes):
    """Computes COCO's average precision for a single class, all sizes.

    As COCO does, it scores up to 100 boxes per image.

    Args:
        boxes, scores, true_boxes: See `mean_ious`.

    Returns:
        Dictionary of two floats: `ap50`, at an IOU threshold of 0.5; and `ap`,
        the mean over the thresholds 0.5, 0.55, ..., 0.95.

    Raises:
        ValueError: if there is no true box.
    """
    best_first = np.argsort(-scores, axis=1, kind="stable")[:, :MAX_BOXES]
    boxes = np.take_along_axis(boxes, best_first[..., None], axis=1)
    scores = np.take_along_axis(scores, best_first, axis=1)
    iou, is_box, is_true_box = _overlaps(boxes, scores, true_boxes)
    if not is_true_box.any():
        raise ValueError(
            "Average precision needs at least one true box with an area. "
            f"Received: true_boxes of shape {true_boxes.shape} without one."
        )
    right = _match_in_turn(iou)[:, is_box]
    order = np.argsort(-scores[is_box], kind="stable")
    hits = np.cumsum(right[:, order], axis=1)
    precision = hits / np.arange(1, hits.shape[1] + 1)
    # The best precision at this or a higher recall.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.pad(precision, ((0, 0), (0, 1)))
    recall = hits / is_true_box.sum()
    by_iou = [
        p[np.searchsorted(r, _RECALLS)].mean()
        for p, r in zip(precision, recall, strict=True)
    ]
    return {"ap50": float(by_iou[0]), "ap": float(np.mean(by_iou))}


def _overlaps(boxes, scores, true_boxes):
    """Computes IOUs, 0 for padding, and masks of what is not padding."""
    is_box = scores > 0
    is_true_box = (true_boxes[..., 2:] > true_boxes[..., :2]).all(axis=-1)
    iou = ops.convert_to_numpy(
        bounding_boxes.compute_iou(boxes, true_boxes, "yxyx")
    )
    return iou * is_box[..., None] * is_true_box[:, None], is_box, is_true_box


def _match_in_turn(iou):
    """Matches each box, in turn, to the best true box that is still free.

    Args:
        iou: Array of shape `(images, boxes, objects)`, the boxes with the
            highest scores first.

    Returns:
        Boolean array of shape `(ious, images, boxes)`: whether each box has a
        match, for each threshold of `AP_IOUS`.
    """
    images, boxes, objects = iou.shape
    right = np.zeros((len(AP_IOUS), images, boxes), bool)
    is_free = np.ones((len(AP_IOUS), images, objects), bool)
    for index in range(boxes):
        fit = np.where(is_free, iou[:, index], 0)
        right[..., index] = fit.max(axis=-1) >= AP_IOUS[:, None]
        taken = fit.argmax(axis=-1)[..., None] == np.arange(objects)
        is_free &= ~(taken & right[..., index, None])
    return right
