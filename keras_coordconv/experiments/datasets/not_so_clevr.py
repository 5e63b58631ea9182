"""Not-so-Clevr: a white 9x9 square at every position of a 64x64 canvas.

Section 2 of the paper. An example is a center (x, y), x being the column and y
the row, with two images: the center alone (one pixel), and the square around
it. The data set is generated; nothing is downloaded.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import epochs

SQUARE_HALF_SIZE = 4
SPLITS = ("uniform", "quadrant", "band", "border", "middle")
SUBSETS = ("train", "test")
# The training set in two parts, to choose settings without the test set.
TRAIN_PARTS = ("fit", "validation")

_UNIFORM_TEST_PROBABILITY = 0.25
_UNIFORM_VALIDATION_PROBABILITY = 0.15
_UNIFORM_SEED = 20202
# Width of the part of the training set next to the test set that is held out
# for validation.
_VALIDATION_MARGINS = {"quadrant": 6, "band": 6, "border": 2, "middle": 3}


def locations():
    """Returns all centers at which the square lies inside the canvas.

    Returns:
        Integer array of shape `(3136, 2)`, the (x, y) of each center in pixels,
        ordered by x (the column), then by y.
    """
    centers = np.arange(SQUARE_HALF_SIZE, CANVAS_SIZE - SQUARE_HALF_SIZE)
    x, y = np.meshgrid(centers, centers, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def subset_locations(split, subset):
    """Returns the centers of one subset of a split.

    Each split holds out about a quarter of all centers as its test set:

    - `"uniform"`: drawn at random with probability 0.25, as in the authors'
      code (2368 train, 768 test);
    - `"quadrant"`: the lower right quarter, x and y from 33 on (2407, 729). As
      in `"uniform"` and `"middle"`, every column and every row is a target in
      training; only their combinations are new;
    - `"band"`: the columns from 45 on (2296, 840), none of which is ever a
      target in training;
    - `"border"`: the outer four columns and rows (2304, 832), none of which
      is ever a target in training, either;
    - `"middle"`: the square with x and y from 18 to 45 (2352, 784).

    Args:
        split: String, one of these.
        subset: String, `"train"` or `"test"`; or `"fit"` or `"validation"`, the
            two parts of the training set. The validation set resembles the
            test set: drawn at random, or the strip next to it.

    Returns:
        Integer array of shape `(examples, 2)`, the (x, y) in pixels.

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
    """Draws one-hot images of the centers.

    Args:
        centers: Integer array of shape `(examples, 2)`, (x, y) in pixels.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`, 1 at the center.
    """
    return _draw_squares(centers, half_size=0)


def draw_squares(centers):
    """Draws images of the 9x9 squares around the centers.

    Args:
        centers: Integer array of shape `(examples, 2)`, (x, y) in pixels.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`, 1 inside the square.
    """
    return _draw_squares(centers, half_size=SQUARE_HALF_SIZE)


def draw_pixels(pixels):
    """Draws one-hot images of pixels given by their index.

    Args:
        pixels: Integer array of shape `(examples,)`, see `pixel_index`.

    Returns:
        Float32 array of shape `(examples, 64, 64, 1)`.
    """
    return draw_centers(np.stack(np.divmod(pixels, CANVAS_SIZE)[::-1], axis=-1))


def pixel_index(centers):
    """Computes the index of each center among the 4096 pixels, row by row.

    Args:
        centers: Integer array of shape `(examples, 2)`, (x, y) in pixels.

    Returns:
        Integer array of shape `(examples,)`.
    """
    return centers[:, 1] * CANVAS_SIZE + centers[:, 0]


def load_arrays(split="uniform", subset="train", limit_examples=None):
    """Returns all examples of one subset as arrays.

    Args:
        split, subset: See `subset_locations`.
        limit_examples: Integer, number of examples to take, evenly spaced, or
            `None` for all.

    Returns:
        Dictionary of arrays with the examples along the first axis: `location`,
        float32 of shape `(examples, 2)`, the (x, y) of the center in pixels;
        `normalized_location`, the location divided by 64; `pixel`, int32 of
        shape `(examples,)`, the index of the center among the 4096 pixels, row
        by row; `center` and `image`, float32 of shape `(examples, 64, 64, 1)`,
        the images of the center and of the square, with values 0 and 1.

    Raises:
        ValueError: if the split or the subset is unknown.

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
    """Batches one subset. Each task picks its input and target.

    Args:
        split, subset, limit_examples: See `load_arrays`.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order every epoch, or `None` to keep
            the order of `load_arrays`.
        epochs_done: Integer, number of epochs that a resumed run has completed:
            it continues with the order of the next one.

    Returns:
        A `tf.data.Dataset` of dictionaries, with the keys of `load_arrays`.

    Example:

    >>> pixels = dataset("quadrant", "test").map(
    ...     lambda example: (example["location"], example["pixel"])
    ... )
    """
    examples = load_arrays(split, subset, limit_examples)
    return epochs.batches(examples, batch_size, shuffle_seed, epochs_done)


def _held_out(centers, split):
    """Returns boolean masks of the centers in the test and validation sets."""
    if split == "uniform":
        random = np.random.RandomState(_UNIFORM_SEED)
        in_test = random.uniform(size=len(centers)) < _UNIFORM_TEST_PROBABILITY
        draws = random.uniform(size=len(centers))
        return in_test, ~in_test & (draws < _UNIFORM_VALIDATION_PROBABILITY)
    in_test = _in_region(centers, split, margin=0)
    grown = _in_region(centers, split, margin=_VALIDATION_MARGINS[split])
    return in_test, grown & ~in_test


def _in_region(centers, split, margin):
    """Returns a mask of the centers in a split's test region, plus a margin."""
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
