"""How much of the data a generator of Sort-of-Clevr covers, Section 5.

The red and the blue object are found in the images; what is compared is where
they are. A generator of noise has a high entropy, too: precision and recall say
how much of what is generated is like the data, and the other way round.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE

COLORS = {"red": (255, 0, 0), "blue": (0, 0, 255)}
# Half of the way between any two of white, red and blue.
COLOR_DISTANCE = 255 / np.sqrt(2)
# An object of the data has 317 pixels or more, apart from what another one
# hides, and a root mean square distance of 9 pixels or less from its centre.
MIN_PIXELS = 50
MAX_SPREAD = 12.0

_BINS = 10
_NEIGHBORS = 3


def find_centers(images):
    """Where the red and the blue object are in each image.

    A pixel is red or blue if it is nearer to that colour than half of the way
    to the other one or to white. The pixels of a colour are an object if they
    are at least 50 and lie together: within a root mean square distance of 12
    pixels from their mean, which is the object's centre.

    Args:
        images: uint8 array of shape `(images, height, width, 3)`.

    Returns:
        Dictionary with `red` and `blue`, float arrays of shape `(images, 2)`,
        the (x, y) of the centres in pixels, x the column; NaN where there is no
        such object.

    Example:

    >>> find_centers(sort_of_clevr.load_arrays("test")["image"])["red"][0]
    array([22., 40.])
    """
    return {
        name: _centers(np.asarray(images), color)
        for name, color in COLORS.items()
    }


def entropy(points, low, high):
    """Entropy of a histogram of points, in nats.

    The paper does not say how its entropies were estimated. With 10 x 10 bins,
    the data have those that it prints, 4.0, 4.0 and 3.5.

    Args:
        points: Array of shape `(points, 2)`.
        low, high: Numbers, the range of both axes, which has 10 bins.

    Returns:
        Float, at most `log(100)`.
    """
    counts, *_ = np.histogram2d(*np.transpose(points), _BINS, [[low, high]] * 2)
    parts = counts[counts > 0] / len(points)
    return float(np.sum(parts * np.log(1 / parts)))


def precision_and_recall(real, generated):
    """How much is like the data, and how much of the data is reached.

    Kynkäänniemi et al., "Improved precision and recall metric for assessing
    generative models" (https://arxiv.org/abs/1904.06991), with the third
    nearest neighbour: the precision is the part of the generated points within
    that distance of a real point, as it is around that point among the real
    ones; the recall is the same with the two sets changed over.

    Args:
        real, generated: Arrays of shape `(points, features)`, with at least 4
            points each.

    Returns:
        Pair of floats in [0, 1].
    """
    return _part_covered(generated, by=real), _part_covered(real, by=generated)


def coverage(images, real_images):
    """The numbers of a generator, from its images and from the data's.

    Args:
        images: uint8 array of shape `(images, 64, 64, 3)`, the generated ones,
            1000 in the paper.
        real_images: As `images`, from the data.

    Returns:
        Dictionary of floats: `both_objects`, the part of the images in which
        both objects are found, and, of those alone, `entropy_red`,
        `entropy_blue` and `entropy_difference` (red minus blue) of the centres,
        in nats, `precision` and `recall` of the four coordinates. The last two
        are 0 where there are fewer than four such images.
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
    """How often the objects jump, where images change little by little.

    Args:
        lines: uint8 array of shape `(lines, images, 64, 64, 3)`: each line
            goes from one image to another one.
        max_step: Float. An object jumps where its centre moves by more pixels
            from one image to the next, or where it appears or vanishes. An
            object that goes straight across the canvas in 32 images moves by
            2 pixels each time.

    Returns:
        Float, the jumps of both objects in a line, averaged over the lines.
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
