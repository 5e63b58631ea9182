"""White rectangles that do not touch, and the mask of one that is asked for."""

import numpy as np

# Each rectangle lies in a cell of its own, a pixel or more from its border.
CELL_SIZE = 12
SMALLEST, LARGEST = 3, 9


def canvases(count, cells=3, seed=0):
    """Canvases of square cells with a rectangle of a random size in each.

    Args:
        count: Integer, how many canvases.
        cells: Integer, how many cells are side by side on each axis.
        seed: Integer.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 12 * cells, 12 * cells,
        1)`, 1 in the rectangles; `label`, int32 of that shape without channels,
        the number of the rectangle, from 1 on; and `center`, float32 of shape
        `(count, cells ** 2, 2)`, the middle of each in pixels.
    """
    random = np.random.default_rng(seed)
    shape = (count, cells**2, 2)
    lengths = random.integers(SMALLEST, LARGEST + 1, shape)
    places = random.integers(1, CELL_SIZE - lengths)
    cell = np.stack(np.divmod(np.arange(cells**2), cells), axis=-1)
    begin = CELL_SIZE * cell + places
    offsets = np.arange(CELL_SIZE * cells) - begin[..., None]
    rows, columns = np.moveaxis(
        (offsets >= 0) & (offsets < lengths[..., None]), 2, 0
    )
    label = np.einsum("nri,nrj,r->nij", rows, columns, 1 + np.arange(cells**2))
    return {
        "image": (label > 0)[..., None].astype("float32"),
        "label": label.astype("int32"),
        "center": (begin + (lengths - 1) / 2).astype("float32"),
    }


def make_queries(count, seed=0):
    """Canvases of 3 x 3 cells, and which of the rectangles is asked for.

    Args:
        count: Integer, how many canvases.
        seed: Integer.

    Returns:
        Dictionary of `image`, `(count, 36, 36, 1)`; `center`, `(count, 2)`, the
        middle of one rectangle; and `mask`, float32 of shape `(count, 36, 36,
        1)`, 1 in that rectangle.
    """
    examples = canvases(count, seed=seed)
    number = np.random.default_rng([seed, 1]).integers(9, size=count)
    mask = examples["label"] == 1 + number[:, None, None]
    return {
        "image": examples["image"],
        "center": examples["center"][np.arange(count), number],
        "mask": mask[..., None].astype("float32"),
    }
