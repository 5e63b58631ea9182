"""Boxes in plain NumPy, one pair at a time, for the tests of the detector."""

import math

import numpy as np


def area(box):
    top, left, bottom, right = (float(side) for side in box)
    return max(bottom - top, 0) * max(right - left, 0)


def iou(first, second):
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[2:], second[2:])
    common = area([*low, *high])
    union = area(first) + area(second) - common
    return common / union if union else 0.0


def move(anchor, deltas):
    """Moves an anchor (top, left, bottom, right) by (y, x, height, width)."""
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    row = (anchor[0] + anchor[2]) / 2 + deltas[0] * height
    column = (anchor[1] + anchor[3]) / 2 + deltas[1] * width
    height *= math.exp(deltas[2])
    width *= math.exp(deltas[3])
    return np.array(
        [
            row - height / 2,
            column - width / 2,
            row + height / 2,
            column + width / 2,
        ]
    )


def deltas_to(anchor, box):
    """Returns the deltas that move the anchor onto the box."""
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return np.array(
        [
            (box[0] + box[2] - anchor[0] - anchor[2]) / 2 / height,
            (box[1] + box[3] - anchor[1] - anchor[3]) / 2 / width,
            math.log((box[2] - box[0]) / height),
            math.log((box[3] - box[1]) / width),
        ]
    )


def random_boxes(random, *shape):
    centers = random.uniform(0, 64, (*shape, 2))
    half_sides = random.uniform(5, 15, (*shape, 2))
    boxes = np.concatenate([centers - half_sides, centers + half_sides], -1)
    return boxes.astype("float32")
