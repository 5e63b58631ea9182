"""How good the boxes of a detector are: the paper's IOUs, and COCO's AP.

Boxes are NumPy arrays of shape `(images, boxes, 4)` in the format `"yxyx"` of
`keras.utils.bounding_boxes`. Images with fewer boxes than others are padded:
with scores of 0, and with true boxes of zero area.
"""

import numpy as np
from keras import ops
from keras.utils import bounding_boxes

AP_IOUS = np.linspace(0.5, 0.95, 10)
# Recalls at which COCO reads the precision.
_RECALLS = np.linspace(0, 1, 101)


def mean_ious(boxes, scores, true_boxes):
    """The paper's two IOUs of boxes and true_boxes.

    An image counts by its mean; one without boxes or without true_boxes, as 0.

    Args:
        boxes: Array of shape `(images, boxes, 4)`.
        scores: Array of shape `(images, boxes)`.
        true_boxes: Array of shape `(images, objects, 4)`.

    Returns:
        Dictionary of two floats: `iou`, the mean over all pairs of a box and a
        truth, which even a perfect detector has low, as a box is on one truth
        and not on the others; and `best_iou`, the mean over the boxes of the
        IOU with the truth that fits best.
    """
    iou, is_box, is_true_box = _overlaps(boxes, scores, true_boxes)
    box_count = np.maximum(is_box.sum(axis=1), 1)
    true_count = np.maximum(is_true_box.sum(axis=1), 1)
    pairs = iou.sum(axis=(1, 2)) / (box_count * true_count)
    best = iou.max(axis=2, initial=0).sum(axis=1) / box_count
    return {"iou": float(pairs.mean()), "best_iou": float(best.mean())}


def average_precision(boxes, scores, true_boxes):
    """COCO's average precision of one class of objects, of all sizes.

    Args:
        boxes, scores, true_boxes: As for `mean_ious`.

    Returns:
        Dictionary of two floats: `ap50`, for boxes that count as right from an
        IOU of 0.5 on; and `ap`, the mean for 0.5, 0.55, ..., 0.95.

    Raises:
        ValueError: if there is no truth.
    """
    best_first = np.argsort(-scores, axis=1, kind="stable")
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
    # The best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.pad(precision, ((0, 0), (0, 1)))
    recall = hits / is_true_box.sum()
    by_iou = [
        p[np.searchsorted(r, _RECALLS)].mean()
        for p, r in zip(precision, recall, strict=True)
    ]
    return {"ap50": float(by_iou[0]), "ap": float(np.mean(by_iou))}


def _overlaps(boxes, scores, true_boxes):
    """IOUs, 0 for what only fills up, and what does not."""
    is_box = scores > 0
    is_true_box = (true_boxes[..., 2:] > true_boxes[..., :2]).all(axis=-1)
    iou = ops.convert_to_numpy(
        bounding_boxes.compute_iou(boxes, true_boxes, "yxyx")
    )
    return iou * is_box[..., None] * is_true_box[:, None], is_box, is_true_box


def _match_in_turn(iou):
    """Whether each box is right: each takes the truth that fits it best.

    Args:
        iou: Array of shape `(images, boxes, objects)`, the boxes with the
            highest scores first. A truth that is taken is not there for others.

    Returns:
        Boolean array of shape `(ious, images, boxes)`, for each of `AP_IOUS`.
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
