"""Not-so-Clevr: a white 9x9 square at every place of a 64x64 canvas.

Section 2 of the paper. Every example is a centre (x, y), x the column and y the
row, and what is drawn there: the centre alone (one pixel) and the square around
it. The data set is generated; nothing is downloaded.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import epochs

SQUARE_HALF_SIZE = 4
SPLITS = ("uniform", "quadrant", "band", "border", "middle")
SUBSETS = ("train", "test")
# Two parts of the training set, to choose settings without the test set.
TRAIN_PARTS = ("fit", "validation")

_UNIFORM_TEST_PROBABILITY = 0.25
_UNIFORM_VALIDATION_PROBABILITY = 0.15
_UNIFORM_SEED = 20202
# Width of the part of the training set next to the test set that is held out
# for validation.
_VALIDATION_MARGINS = {"quadrant": 6, "band": 6, "border": 2, "middle": 3}


def locations():
    """All centres at which the square lies inside the canvas.

    Returns:
        Integer array of shape `(3136, 2)`, the (x, y) of each centre in pixels,
        x (the column) the slower one.
    """
    centers = np.arange(SQUARE_HALF_SIZE, CANVAS_SIZE - SQUARE_HALF_SIZE)
    x, y = np.meshgrid(centers, centers, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def subset_locations(split, subset):
    """Centers of one subset of a split.

    Each split holds out about a quarter of all centers as its test set:

    - `"uniform"`: drawn at random with probability 0.25, as the authors' code
      draws it (2368 train, 768 test);
    - `"quadrant"`: the lower right quarter, x and y from 33 on (2407, 729). As
      in `"uniform"` and `"middle"`, each column and each row is a target of the
      training; only their combinations are new;
    - `"band"`: the columns from 45 on (2296, 840), none of which is ever a
      target of the training;
    - `"border"`: the outer four columns and rows (2304, 832), none of which
      is ever a target, either;
    - `"middle"`: the square with x and y from 18 to 45 (2352, 784).

    Args:
        split: String, one of these.
        subset: String, `"train"` or `"test"`; or `"fit"` or `"validation"`, two
            parts of the training set. The validation set is like the test set:
            drawn at random, or the strip next to the test set.

    Returns:
        Integer array of shape `(examples, 2)`, as from `locations()`.

    Raises:
        ValueError: if the split or the subset is unknown.
    """
    _check("split", split, SPLITS)
    _check("subset", subset, SUBSETS + TRAIN_PARTS)
    centers = locations()
    in_test, in_validation = _held_out(centers, split)
    return centers[
        {
            "train": ~in_test,
            "test": in_test,
            "fit": ~in_test & ~in_validation,
            "validation": in_validation,
        }[subset]
    ]


def draw_centers(centers):
    """One-hot images of the centres.

    Args:
        centers: Integer array of shape `(examples, 2)`, (x, y) in pixels.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`, 1 at the centre.
    """
    return _draw_squares(centers, half_size=0)


def draw_squares(centers):
    """Images of the 9x9 squares around the centres.

    Args:
        centers: Integer array of shape `(examples, 2)`, (x, y) in pixels.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`, 1 inside the square.
    """
    return _draw_squares(centers, half_size=SQUARE_HALF_SIZE)


def draw_pixels(pixels):
    """One-hot images of pixels given by their index.

    Args:
        pixels: Integer array of shape `(examples,)`, as from `pixel_index`.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`.
    """
    return draw_centers(np.stack(np.divmod(pixels, CANVAS_SIZE)[::-1], axis=-1))


def pixel_index(centers):
    """Index of each centre among the 4096 pixels, row by row."""
    return centers[:, 1] * CANVAS_SIZE + centers[:, 0]


def load_arrays(split="uniform", subset="train", limit_examples=None):
    """All examples of one subset, as arrays.

    Args:
        split, subset: As for `subset_locations`.
        limit_examples: Integer, how many examples to take, evenly spread over
            the subset, or `None` for all.

    Returns:
        Dictionary of arrays, the examples first: `location`, float32 of shape
        `(examples, 2)`, the (x, y) of the centre in pixels;
        `normalized_location`, the same divided by 64; `pixel`, int32 of shape
        `(examples,)`, the index of the centre among the 4096 pixels, row by
        row; `center` and `image`, float32 of shape `(examples, 64, 64, 1)`, the
        images of the centre and of the square, from 0 to 1.

    Raises:
        ValueError: if there is no such split or subset.

    Example:

    >>> examples = load_arrays("quadrant", "train")
    >>> examples["location"][0], examples["pixel"][0]
    (array([4., 4.], dtype=float32), 260)
    """
    centers = epochs.spread_evenly(
        subset_locations(split, subset), limit_examples
    )
    location = centers.astype("float32")
    return {
        "location": location,
        "normalized_location": location / CANVAS_SIZE,
        "pixel": pixel_index(centers).astype("int32"),
        "center": draw_centers(centers),
        "image": draw_squares(centers),
    }


def dataset(
    split="uniform",
    subset="train",
    batch_size=16,
    limit_examples=None,
    shuffle_seed=None,
    epochs_done=0,
):
    """Batches of one subset, from which a task picks input and target.

    Args:
        split, subset, limit_examples: As for `load_arrays`.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order in each pass, or `None` for that
            of `load_arrays`.
        epochs_done: Integer, number of passes that a resumed training has done:
            it sees the orders that would have come next.

    Returns:
        A `tf.data.Dataset` of dictionaries as from `load_arrays`.

    Example:

    >>> pixels = dataset("quadrant", "test").map(
    ...     lambda example: (example["location"], example["pixel"])
    ... )
    """
    examples = load_arrays(split, subset, limit_examples)
    return epochs.batches(examples, batch_size, shuffle_seed, epochs_done)


def _held_out(centers, split):
    """Boolean arrays: which centers are in the test and the validation set."""
    if split == "uniform":
        random = np.random.RandomState(_UNIFORM_SEED)
        in_test = random.uniform(size=len(centers)) < _UNIFORM_TEST_PROBABILITY
        draws = random.uniform(size=len(centers))
        return in_test, ~in_test & (draws < _UNIFORM_VALIDATION_PROBABILITY)
    in_test = _in_region(centers, split, margin=0)
    grown = _in_region(centers, split, margin=_VALIDATION_MARGINS[split])
    return in_test, grown & ~in_test


def _in_region(centers, split, margin):
    """Which centers are in a split's test region, grown by a margin."""
    if split == "quadrant":
        return np.all(centers > CANVAS_SIZE / 2 - margin, axis=-1)
    if split == "band":
        return centers[:, 0] > 44 - margin
    from_middle = np.abs(centers - (CANVAS_SIZE - 1) / 2)
    if split == "border":
        return np.any(from_middle > 24 - margin, axis=-1)
    return np.all(from_middle < 14 + margin, axis=-1)


def _draw_squares(centers, half_size):
    index = np.arange(CANVAS_SIZE)
    columns = np.abs(index - centers[:, :1]) <= half_size
    rows = np.abs(index - centers[:, 1:]) <= half_size
    squares = rows[:, :, None] & columns[:, None, :]
    return squares[..., None].astype("float32")


def _check(name, value, allowed):
    if value not in allowed:
        raise ValueError(
            f"`{name}` must be one of {', '.join(allowed)}. "
            f"Received: {name}={value!r}"
        )


CITATION = """\
@inproceedings{liu2018coordconv,
  title={An intriguing failing of convolutional neural networks and the
    {CoordConv} solution},
  author={Liu, Rosanne and Lehman, Joel and Molino, Piero and Petroski Such,
    Felipe and Frank, Eric and Sergeev, Alex and Yosinski, Jason},
  booktitle={Advances in Neural Information Processing Systems},
  year={2018}
}"""
