"""Measures how well a generator covers Sort-of-Clevr, Section 5.

The red and the blue object are located in the images, and their positions are
compared. Entropy alone is not enough, since noise has a high entropy, too:
precision measures how much of the generated data resembles the real data,
recall how much of the real data is generated.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE

COLORS = {"red": (255, 0, 0), "blue": (0, 0, 255)}
# Half the distance between any two of white, red and blue.
COLOR_DISTANCE = 255 / np.sqrt(2)
# An object of the data has at least 317 pixels, unless the other one hides
# some, and a root mean square distance of at most 9 pixels from its center.
MIN_PIXELS = 50
MAX_SPREAD = 12.0

_BINS = 10
_NEIGHBORS = 3


def find_centers(images):
    """Locates the red and the blue object in each image.

    A pixel is red or blue if its distance from that color is less than half the
    distance between the colors. The pixels of a color are an object if there
    are at least 50 and they lie close together: their root mean square distance
    from their mean, the object's center, is at most 12 pixels.

    Args:
        images: uint8 array of shape `(images, height, width, 3)`.

    Returns:
        Dictionary with `red` and `blue`, float arrays of shape `(images, 2)`,
        the (x, y) of the centers in pixels, x being the column; NaN if the
        image has no such object.

    Example:

    >>> find_centers(sort_of_clevr.load_arrays("test")["image"])["red"][0]
    array([22., 40.])
    """
    return {
        name: _centers(np.asarray(images), color)
        for name, color in COLORS.items()
    }


def entropy(points, low, high):
    """Computes the entropy of a histogram of points, in nats.

    The paper does not say how it estimates entropies. With 10 x 10 bins, the
    data have the published entropies, 4.0, 4.0 and 3.5.

    Args:
        points: Array of shape `(points, 2)`.
        low, high: Numbers, the range of both axes, split into 10 bins.

    Returns:
        Float, at most `log(100)`.
    """
    counts, *_ = np.histogram2d(*np.transpose(points), _BINS, [[low, high]] * 2)
    parts = counts[counts > 0] / len(points)
    return float(np.sum(parts * np.log(1 / parts)))


def precision_and_recall(real, generated):
    """Computes the precision and recall of generated points.

    Kynkäänniemi et al., "Improved precision and recall metric for assessing
    generative models" (https://arxiv.org/abs/1904.06991), with third nearest
    neighbors. Precision is the fraction of generated points that are at most as
    far from some real point as that point's third nearest real neighbor. Recall
    is the same with the two sets exchanged.

    Args:
        real, generated: Arrays of shape `(points, features)`, with at least 4
            points each.

    Returns:
        Pair of floats in [0, 1].
    """
    return _part_covered(generated, by=real), _part_covered(real, by=generated)


def coverage(images, real_images):
    """Computes the coverage scores of a generator.

    Args:
        images: uint8 array of shape `(images, 64, 64, 3)`, generated images,
            1000 in the paper.
        real_images: uint8 array of images of the data, in the same format.

    Returns:
        Dictionary of floats: `both_objects`, the fraction of the images in
        which both objects are found; and, for these images only, `entropy_red`,
        `entropy_blue` and `entropy_difference` (red minus blue) of the centers,
        in nats, and `precision` and `recall` of the four coordinates, which are
        0 if there are fewer than four such images.
    """
    points, real = (_both_centers(array) for array in (images, real_images))
    enough = len(points) > _NEIGHBORS
    precision, recall = precision_and_recall(real, points) if enough else (0, 0)
    red, blue = points[:, :2], points[:, 2:]
    return {
        "both_objects": len(points) / len(images),
        "entropy_red": entropy(red, 0, CANVAS_SIZE),
        "entropy_blue": entropy(blue, 0, CANVAS_SIZE),
        "entropy_difference": entropy(red - blue, -CANVAS_SIZE, CANVAS_SIZE),
        "precision": float(precision),
        "recall": float(recall),
    }


def count_jumps(lines, max_step=4.0):
    """Counts the jumps of the objects along interpolations.

    Args:
        lines: uint8 array of shape `(lines, images, 64, 64, 3)`. Each line
            interpolates between two images.
        max_step: Float, in pixels. An object jumps if its center moves by more
            than this from one image to the next, or if it appears or
            disappears. An object that crosses the canvas in 32 equal steps
            moves by 2 pixels per step.

    Returns:
        Float, average number of jumps per line, of both objects together.
    """
    count = 0
    for centers in map(find_centers, lines):
        for points in centers.values():
            moved = np.linalg.norm(np.diff(points, axis=0), axis=-1)
            there = np.isfinite(points[:, 0])
            count += np.sum(moved > max_step) + np.sum(np.diff(there))
    return float(count / len(lines))


def _centers(images, color):
    distances = np.linalg.norm(images - np.float32(color), axis=-1)
    pixels = distances < COLOR_DISTANCE
    count = np.maximum(pixels.sum(axis=(1, 2)), 1)
    centers, spread = [], 0.0
    for axis in (1, 2):  # x, then y.
        along = pixels.sum(axis=axis)
        index = np.arange(along.shape[1])
        mean = along @ index / count
        spread = spread + along @ index**2 / count - mean**2
        centers.append(mean)
    is_object = (count >= MIN_PIXELS) & (spread <= MAX_SPREAD**2)
    return np.where(is_object[:, None], np.stack(centers, axis=-1), np.nan)


def _both_centers(images):
    points = np.concatenate(list(find_centers(images).values()), axis=-1)
    return points[np.isfinite(points).all(axis=-1)]


def _part_covered(points, by):
    radii = np.sort(_distances(by, by), axis=-1)[:, _NEIGHBORS]
    return float(np.mean((_distances(points, by) <= radii).any(axis=-1)))


def _distances(first, second):
    return np.linalg.norm(first[:, None] - second, axis=-1)
