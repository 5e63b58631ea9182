"""Sort-of-Clevr with two objects: a red and a blue shape on a white canvas.

The data of the paper's generative models (Section 5). Each object is a square
or a circle, at a random place, not too near the other one. The data set is
generated; nothing is downloaded.
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
    """What is on each image.

    The first object, the red one, is anywhere on the canvas where it is inside;
    the blue one is anywhere where it is inside and not too near the red one.

    Args:
        subset: String, `"train"` (50,000 examples) or `"test"` (1000).
        limit_examples: Integer, how many examples to take, the first ones, or
            `None` for all.

    Returns:
        Dictionary of int32 arrays, the examples first: `red_center` and
        `blue_center`, of shape `(examples, 2)`, the (x, y) of the centres in
        pixels, x the column; `red_shape` and `blue_shape`, of shape
        `(examples,)`, 0 for a square and 1 for a circle.

    Raises:
        ValueError: if there is no such subset.
    """
    if subset not in EXAMPLES:
        raise ValueError(
            f"`subset` must be one of {', '.join(EXAMPLES)}. "
            f"Received: subset={subset!r}"
        )
    count = min(EXAMPLES[subset], limit_examples or EXAMPLES[subset])
    # Philox makes four numbers in a step: each example has a step of its own,
    # and the test examples those after the training examples.
    steps = np.random.Philox(key=_SEED)
    steps.advance(EXAMPLES["train"] if subset == "test" else 0)
    red, blue, *shapes = np.random.Generator(steps).random((count, 4)).T

    places = _places()
    far_apart = _far_apart(places)
    # All pairs that are allowed, those with the same red centre in a row.
    blue_places = np.nonzero(far_apart)[1]
    allowed = far_apart.sum(axis=1)
    first = np.cumsum(allowed) - allowed
    red = (red * len(places)).astype(int)
    blue = blue_places[first[red] + (blue * allowed[red]).astype(int)]
    red_shape, blue_shape = (np.int32(shape < 0.5) for shape in shapes)
    return {
        "red_center": places[red],
        "blue_center": places[blue],
        "red_shape": red_shape,
        "blue_shape": blue_shape,
    }


def draw(red_center, blue_center, red_shape, blue_shape):
    """Images of scenes. Where the objects overlap, the blue one is in front.

    Args:
        red_center, blue_center, red_shape, blue_shape: Integer arrays as from
            `scenes`.

    Returns:
        uint8 array of shape `(examples, 64, 64, 3)`.
    """
    images = np.full((len(red_shape), CANVAS_SIZE, CANVAS_SIZE, 3), 255, "u1")
    images[_inside(red_center, red_shape)] = (255, 0, 0)
    images[_inside(blue_center, blue_shape)] = (0, 0, 255)
    return images


def load_arrays(subset="train", limit_examples=None):
    """All examples of a subset, as arrays.

    Args:
        subset, limit_examples: As for `scenes`.

    Returns:
        Dictionary of arrays: those of `scenes`, and `image`, uint8 of shape
        `(examples, 64, 64, 3)`. 50,000 images take 614 MB.

    Raises:
        ValueError: if there is no such subset.

    Example:

    >>> examples = load_arrays("train", limit_examples=100)
    >>> examples["image"].shape, examples["red_center"].shape
    ((100, 64, 64, 3), (100, 2))
    """
    of_subset = scenes(subset, limit_examples)
    return {**of_subset, "image": draw(**of_subset)}


def dataset(
    subset="train",
    batch_size=16,
    limit_examples=None,
    shuffle_seed=None,
    epochs_done=0,
):
    """Batches of one subset.

    Args:
        subset, limit_examples: As for `scenes`.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order in each pass, or `None` for that
            of `load_arrays`.
        epochs_done: Integer, number of passes that a resumed training has done:
            it sees the orders that would have come next.

    Returns:
        A `tf.data.Dataset` of dictionaries as from `load_arrays`.

    Example:

    >>> images = dataset().map(lambda example: example["image"])
    """
    return epochs.batches(
        load_arrays(subset, limit_examples),
        batch_size,
        shuffle_seed,
        epochs_done,
    )


def _places():
    """The (x, y) of all centres with which an object is on the canvas."""
    index = np.arange(
        OBJECT_HALF_SIZE, CANVAS_SIZE - OBJECT_HALF_SIZE, dtype="int32"
    )
    return np.stack(np.meshgrid(index, index), axis=-1).reshape(-1, 2)


def _far_apart(places):
    offsets = places[:, None] - places
    return np.sum(offsets**2, axis=-1) >= MIN_DISTANCE**2


def _inside(centers, shapes):
    distances = np.abs(np.arange(CANVAS_SIZE) - centers[:, :, None])
    x, y = distances.astype("int16").swapaxes(0, 1)
    # How far the object reaches to both sides in each row.
    circle = np.sqrt(np.maximum(OBJECT_HALF_SIZE**2 - y**2, 0)).astype("int16")
    is_circle = shapes[:, None] == SHAPES.index("circle")
    reach = np.where(is_circle, circle, np.int16(OBJECT_HALF_SIZE))
    reach[y > OBJECT_HALF_SIZE] = -1
    return x[:, None, :] <= reach[:, :, None]
