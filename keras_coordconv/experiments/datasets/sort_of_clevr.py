"""Sort-of-Clevr with two objects: a red and a blue shape on a white canvas.

The data of the paper's generative models (Section 5). Each object is a square
or a circle at a random position, not too close to the other object. The data
set is generated; nothing is downloaded.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import epochs

OBJECT_HALF_SIZE = 10
MIN_DISTANCE = 20
SHAPES = ("square", "circle")
EXAMPLES = {"train": 50_000, "test": 1000}

_SEED = 0


def scenes(subset="train", limit_examples=None):
    """Draws the positions and shapes of the objects of each image.

    The red object is uniform over the positions at which it lies inside the
    canvas; the blue object is uniform over those that are also far enough from
    the red one.

    Args:
        subset: String, `"train"` (50,000 examples) or `"test"` (1000).
        limit_examples: Integer, to take the first examples only, or `None` for
            all.

    Returns:
        Dictionary of int32 arrays with the examples along the first axis:
        `red_center` and `blue_center`, of shape `(examples, 2)`, the (x, y) of
        the centers in pixels, x being the column; `red_shape` and `blue_shape`,
        of shape `(examples,)`, 0 for a square and 1 for a circle.

    Raises:
        ValueError: if the subset is unknown.
    """
    if subset not in EXAMPLES:
        raise ValueError(
            f"`subset` must be one of {', '.join(EXAMPLES)}. "
            f"Received: subset={subset!r}"
        )
    count = min(EXAMPLES[subset], limit_examples or EXAMPLES[subset])
    # Philox generates four numbers per step, and each example takes one step;
    # those of the test examples follow those of the training examples.
    steps = np.random.Philox(key=_SEED)
    steps.advance(EXAMPLES["train"] if subset == "test" else 0)
    red, blue, *shapes = np.random.Generator(steps).random((count, 4)).T

    positions = _positions()
    far_apart = _far_apart(positions)
    # All allowed pairs, grouped by the red center.
    blue_positions = np.nonzero(far_apart)[1]
    allowed = far_apart.sum(axis=1)
    first = np.cumsum(allowed) - allowed
    red = (red * len(positions)).astype(int)
    blue = blue_positions[first[red] + (blue * allowed[red]).astype(int)]
    red_shape, blue_shape = (np.int32(shape < 0.5) for shape in shapes)
    return {
        "red_center": positions[red],
        "blue_center": positions[blue],
        "red_shape": red_shape,
        "blue_shape": blue_shape,
    }


def draw(red_center, blue_center, red_shape, blue_shape):
    """Draws scenes. Where the objects overlap, the blue one is in front.

    Args:
        red_center, blue_center, red_shape, blue_shape: Integer arrays, as
            returned by `scenes`.

    Returns:
        uint8 array of shape `(examples, 64, 64, 3)`.
    """
    images = np.full((len(red_shape), CANVAS_SIZE, CANVAS_SIZE, 3), 255, "u1")
    images[_inside(red_center, red_shape)] = (255, 0, 0)
    images[_inside(blue_center, blue_shape)] = (0, 0, 255)
    return images


def load_arrays(subset="train", limit_examples=None):
    """Returns all examples of one subset as arrays.

    Args:
        subset, limit_examples: See `scenes`.

    Returns:
        Dictionary of the arrays of `scenes`, and `image`, uint8 of shape
        `(examples, 64, 64, 3)`. 50,000 images take 614 MB.

    Raises:
        ValueError: if the subset is unknown.

    Example:

    >>> examples = load_arrays("train", limit_examples=100)
    >>> examples["image"].shape, examples["red_center"].shape
    ((100, 64, 64, 3), (100, 2))
    """
    drawn = scenes(subset, limit_examples)
    return {**drawn, "image": draw(**drawn)}


def dataset(
    subset="train",
    batch_size=16,
    limit_examples=None,
    shuffle_seed=None,
    epochs_done=0,
):
    """Batches one subset.

    Args:
        subset, limit_examples: See `scenes`.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order every epoch, or `None` to keep
            the order of `load_arrays`.
        epochs_done: Integer, number of epochs that a resumed run has completed:
            it continues with the order of the next one.

    Returns:
        A `tf.data.Dataset` of dictionaries, with the keys of `load_arrays`.

    Example:

    >>> images = dataset().map(lambda example: example["image"])
    """
    return epochs.batches(
        load_arrays(subset, limit_examples),
        batch_size,
        shuffle_seed,
        epochs_done,
    )


def _positions():
    """Returns the centers (x, y) at which an object lies inside the canvas."""
    index = np.arange(
        OBJECT_HALF_SIZE, CANVAS_SIZE - OBJECT_HALF_SIZE, dtype="int32"
    )
    return np.stack(np.meshgrid(index, index), axis=-1).reshape(-1, 2)


def _far_apart(positions):
    offsets = positions[:, None] - positions
    return np.sum(offsets**2, axis=-1) >= MIN_DISTANCE**2


def _inside(centers, shapes):
    distances = np.abs(np.arange(CANVAS_SIZE) - centers[:, :, None])
    x, y = distances.astype("int16").swapaxes(0, 1)
    # Half the width of the object in each row; -1 where it has no pixel.
    circle = np.sqrt(np.maximum(OBJECT_HALF_SIZE**2 - y**2, 0)).astype("int16")
    is_circle = shapes[:, None] == SHAPES.index("circle")
    reach = np.where(is_circle, circle, np.int16(OBJECT_HALF_SIZE))
    reach[y > OBJECT_HALF_SIZE] = -1
    return x[:, None, :] <= reach[:, :, None]
