"""White squares on a large canvas, to be named by the half that they lie in."""

import numpy as np

CANVAS_SIZE = 96
SQUARE_SIZE = 5
SQUARES = 24
# Of a pixel: of no square, of one in the left half, of one in the right half.
CLASSES = ("background", "left", "right")


def canvases(count, seed=0):
    """Canvases with squares at random places, and the class of each pixel.

    Args:
        count: Integer, how many canvases.
        seed: Integer.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 96, 96, 1)`, 1 in the
        squares, and `label`, int32 of shape `(count, 96, 96)`.
    """
    random = np.random.default_rng(seed)
    corners = random.integers(
        CANVAS_SIZE - SQUARE_SIZE + 1, size=(count, SQUARES, 2)
    )
    pixels = np.arange(CANVAS_SIZE)
    rows, columns = (
        (corners[..., axis, None] <= pixels)
        & (pixels < corners[..., axis, None] + SQUARE_SIZE)
        for axis in (0, 1)
    )
    squares = np.einsum("nsi,nsj->nij", rows, columns)
    half = 1 + (pixels >= CANVAS_SIZE // 2)
    return {
        "image": squares[..., None].astype("float32"),
        "label": (squares * half).astype("int32"),
    }


def crops(count, size, margin=0, seed=0):
    """Random crops of canvases, and where they are.

    Args:
        count: Integer, how many crops, each of a canvas of its own.
        size: Integer, height and width of the crops.
        margin: Integer, how many pixels the labels end before the border.
        seed: Integer.

    Returns:
        Dictionary of `image`, `(count, size, size, 1)`; `label`, `(count, size
        - 2 * margin, size - 2 * margin)`; and `begin`, int32 of shape `(count,
        2)`, the row and the column of the crop's first pixel.
    """
    whole = canvases(count, seed)
    random = np.random.default_rng([seed, 1])
    begin = random.integers(CANVAS_SIZE - size + 1, size=(count, 2))
    inside = size - 2 * margin
    return {
        "image": _cut(whole["image"], begin, size),
        "label": _cut(whole["label"], begin + margin, inside),
        "begin": begin.astype("int32"),
    }


def _cut(images, begin, size):
    rows, columns = (begin[:, axis, None] + np.arange(size) for axis in (0, 1))
    example = np.arange(len(images))[:, None, None]
    return images[example, rows[:, :, None], columns[:, None, :]]
