"""White squares on a large canvas, to be named by the half that they lie in.

Or white cubes in a volume, with three axes.
"""

import numpy as np

# By the number of axes.
CANVAS_SIZE = {2: 96, 3: 48}
SQUARE_SIZE = 5
SQUARES = 24
# Of a pixel: of no square, of one in the first half of the last axis, of one in
# the second half.
CLASSES = ("background", "left", "right")


def canvases(count, seed=0, axes=2):
    """Canvases with squares at random places, and the class of each pixel.

    Args:
        count: Integer, how many canvases.
        seed: Integer.
        axes: Integer, 2 or 3.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 96, 96, 1)` or `(count,
        48, 48, 48, 1)`, 1 in the squares, and `label`, int32 of that shape
        without channels.
    """
    begin = np.zeros((count, axes), int)
    squares, half = _windows(count, begin, CANVAS_SIZE[axes], seed)
    return {
        "image": squares[..., None].astype("float32"),
        "label": (squares * half).astype("int32"),
    }


def crops(count, size, margin=0, seed=0, axes=2):
    """Random crops of canvases, and where they are.

    Args:
        count: Integer, how many crops, each of a canvas of its own: those of
            `canvases` with this seed.
        size: Integer, the size of each axis of the crops.
        margin: Integer, how many pixels the labels end before the border.
        seed: Integer.
        axes: Integer, 2 or 3.

    Returns:
        Dictionary of `image`, `(count, size, size, 1)` with two axes; `label`,
        `(count, size - 2 * margin, size - 2 * margin)`; and `begin`, int32 of
        shape `(count, axes)`, the crop's first pixel.
    """
    random = np.random.default_rng([seed, 1])
    begin = random.integers(CANVAS_SIZE[axes] - size + 1, size=(count, axes))
    squares, half = _windows(count, begin, size, seed)
    inside = (slice(None), *[slice(margin, size - margin)] * axes)
    return {
        "image": squares[..., None].astype("float32"),
        "label": (squares * half)[inside].astype("int32"),
        "begin": begin.astype("int32"),
    }


def _windows(count, begin, size, seed):
    """Windows of canvases: where squares are, and the half of each pixel."""
    axes = begin.shape[1]
    random = np.random.default_rng(seed)
    corners = random.integers(
        CANVAS_SIZE[axes] - SQUARE_SIZE + 1, size=(count, SQUARES, axes)
    )
    # Of shape (count, axes, size), then (count, squares, axes, size).
    pixels = begin[..., None] + np.arange(size)
    offsets = pixels[:, None] - corners[..., None]
    covered = (offsets >= 0) & (offsets < SQUARE_SIZE)
    of_axis = np.moveaxis(covered, 2, 0).astype("float32")
    terms = "nsi,nsj->nij" if axes == 2 else "nsi,nsj,nsk->nijk"
    squares = np.einsum(terms, *of_axis, optimize=True) > 0
    half = 1 + (pixels[:, -1] >= CANVAS_SIZE[axes] // 2)
    return squares, half.reshape(count, *[1] * (axes - 1), size)
