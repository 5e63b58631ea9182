"""Scattered MNIST: images of five digits with their bounding boxes.

Section 5 of the paper (object detection). Each digit is cropped to its ink,
resized to a random height and width, and placed on a canvas of 120x120 pixels,
whose central 64x64 pixels are the image. Only images that contain all five
centers are kept; boxes may extend beyond the border.

Boxes are in the format `"yxyx"` of `keras.utils.bounding_boxes`: top, left,
bottom, right, in pixels from the image's upper left corner.
"""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE

EXAMPLES = {"train": 9000, "test": 1000}
DIGITS = 5
SIDES = (15, 25)
FULL_CANVAS_SIZE = 120

_CHUNK = 250


def load_digits(subset, data_dir=None):
    """Loads the digits of MNIST from TensorFlow Datasets.

    Args:
        subset: String, `"train"` or `"test"`.
        data_dir: String, TensorFlow Datasets' folder, or `None` for its
            default.

    Returns:
        Uint8 array of shape `(digits, 28, 28)`.

    Raises:
        ValueError: if the subset is unknown, or if `mnist` is not prepared or
            not stored in TFRecord format.
    """
    import tensorflow_datasets as tfds

    from keras_coordconv.experiments.datasets import image_sources

    _check_subset(subset)
    builder = tfds.builder("mnist", data_dir=data_dir)
    if not builder.is_prepared():
        raise ValueError(
            f"`mnist` not found in {builder.data_path}: prepare it with "
            f"TensorFlow Datasets. Received: data_dir={data_dir!r}"
        )
    image_sources.check_file_format(builder)
    examples = builder.as_dataset(split=subset, batch_size=-1)
    return examples["image"].numpy()[..., 0]


def load_stand_in(subset):
    """Loads scikit-learn's 8x8 digits, which need no download, as a stand-in.

    Args:
        subset: String, `"train"` (four out of five digits) or `"test"`.

    Returns:
        Uint8 array of shape `(digits, 8, 8)`.

    Raises:
        ValueError: if the subset is unknown, or scikit-learn is not installed.
    """
    _check_subset(subset)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError(
            "The stand-in for MNIST requires the package scikit-learn. "
            f"Received: {error}. Run: pip install scikit-learn"
        ) from error
    digits = (load_digits().images * (255 / 16)).astype("uint8")
    in_test = np.arange(len(digits)) % 5 == 4
    return digits[in_test if subset == "test" else ~in_test]


def load_arrays(
    digits, subset="train", limit_examples=None, seed=0, binary=False
):
    """Returns all examples of one subset as arrays.

    An image depends only on the digits, the subset, the seed and its index, so
    limiting the number of examples does not change the first ones.

    Args:
        digits: Uint8 array of shape `(digits, height, width)`, white on black.
        subset: String, `"train"` (9000 examples) or `"test"` (1000).
        limit_examples: Integer, to make the first examples only, or `None` for
            all.
        seed: Non-negative integer.
        binary: Boolean, whether to draw all ink in white, as the authors' code
            does: it clips to 1 without dividing by 255.

    Returns:
        Dictionary of arrays with the examples along the first axis: `image`,
        float32 of shape `(examples, 64, 64, 1)`, from 0 to 1; `boxes`, float32
        of shape `(examples, 5, 4)`, top, left, bottom and right of each digit
        in pixels.

    Raises:
        ValueError: if the subset is unknown, or a digit has no ink.

    Example:

    >>> examples = load_arrays(load_digits("test"), "test", limit_examples=10)
    >>> examples["image"].shape, examples["boxes"].shape
    ((10, 64, 64, 1), (10, 5, 4))
    """
    _check_subset(subset)
    count = min(EXAMPLES[subset], limit_examples or EXAMPLES[subset])
    random = np.random.default_rng([seed, list(EXAMPLES).index(subset)])
    which, *numbers = random.random((count, 5, DIGITS)).swapaxes(0, 1)
    digits = digits[(which * len(digits)).astype(int)]
    boxes = random_boxes(*numbers)
    # In chunks: all images at once would take gigabytes.
    images = [
        draw_digits(
            digits[start : start + _CHUNK],
            boxes[start : start + _CHUNK],
            white=1 if binary else 255,
        )
        for start in range(0, count, _CHUNK)
    ]
    return {"image": np.concatenate(images), "boxes": boxes.astype("float32")}


def random_boxes(rows, columns, heights, widths):
    """Computes random boxes whose centers are inside the image.

    Only 1.2% of all canvases have all centers inside the image. Rejecting the
    others gives centers that are uniform in the image, and sides whose density
    is divided by `120 - side`, the range of the center on the canvas: a long
    side leaves less room outside the image. This function samples from these
    distributions directly.

    Args:
        rows, columns, heights, widths: Arrays of the same shape with
            independent random numbers, uniform in [0, 1).

    Returns:
        Array of shape `(..., 4)`, top, left, bottom and right in pixels.
    """
    centers = CANVAS_SIZE * np.stack([rows, columns], axis=-1)
    # The inverse of the distribution function of 1 / (120 - side).
    max_room, min_room = (FULL_CANVAS_SIZE - side for side in SIDES)
    room = max_room * (min_room / max_room) ** np.stack(
        [heights, widths], axis=-1
    )
    half_sides = (FULL_CANVAS_SIZE - room) / 2
    return np.concatenate([centers - half_sides, centers + half_sides], axis=-1)


def draw_digits(digits, boxes, white=255):
    """Draws digits, each resized to its box; where they overlap, their sum.

    Args:
        digits: Uint8 array of shape `(images, boxes, height, width)`.
        boxes: Array of shape `(images, boxes, 4)`, top, left, bottom and right
            in pixels.
        white: Number, the value in `digits` that is drawn as 1.

    Returns:
        Float32 array of shape `(images, 64, 64, 1)`, clipped to 1.

    Raises:
        ValueError: if a digit has no ink.
    """
    ink = digits > 0
    # Resizing is separable: two small matrices, of rows and of columns.
    rows = _resize_matrices(ink.any(axis=-1), boxes[..., 0], boxes[..., 2])
    columns = _resize_matrices(ink.any(axis=-2), boxes[..., 1], boxes[..., 3])
    drawn = rows @ (digits / np.float32(white)) @ columns.swapaxes(-1, -2)
    return np.minimum(drawn.sum(axis=1), 1)[..., None]


def _resize_matrices(has_ink, low, high):
    """Computes matrices that resize the ink bilinearly along an axis.

    Args:
        has_ink: Boolean array of shape `(..., source)`, the pixels with ink.
        low, high: Arrays of shape `(...)`, the box in pixels of the image.

    Returns:
        Float32 array of shape `(..., 64, source)`, 0 outside the box.
    """
    if not has_ink.any(axis=-1).all():
        raise ValueError(
            "Each digit must have ink. Received: a digit with all pixels 0"
        )
    source = has_ink.shape[-1]
    first = has_ink.argmax(axis=-1)[..., None]
    last = source - 1 - has_ink[..., ::-1].argmax(axis=-1)[..., None]
    low, high = low[..., None], high[..., None]
    # Of each pixel's center: 0 at the start, 1 at the end of the box.
    position = (np.arange(CANVAS_SIZE) + 0.5 - low) / (high - low)
    inside = (position >= 0) & (position < 1)
    center = first + position * (last + 1 - first) - 0.5
    distance = np.clip(center, first, last)[..., None] - np.arange(source)
    weights = np.maximum(1 - np.abs(distance), 0) * inside[..., None]
    return weights.astype("float32")


def _check_subset(subset):
    if subset not in EXAMPLES:
        raise ValueError(
            f"`subset` must be one of {', '.join(EXAMPLES)}. "
            f"Received: subset={subset!r}"
        )
