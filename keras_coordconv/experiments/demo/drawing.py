"""Draws enlarged images."""

import numpy as np
from matplotlib.colors import to_rgb

from keras_coordconv.experiments.plots import style

SCALE = 6
BLACK, GRAY, BLUE, ORANGE = (
    np.round(np.multiply(255, to_rgb(color))).astype("uint8")
    for color in ("black", style.GRAY, style.SKY, style.ORANGE)
)


def enlarge(image, scale=SCALE):
    """Enlarge each pixel of an image to a square.

    Args:
        image: Array of shape `(height, width)` or `(height, width, 3)`, uint8
            or float in [0, 1].
        scale: Integer, side of the squares in pixels.

    Returns:
        uint8 array of shape `(scale * height, scale * width, 3)`.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.round(255 * np.clip(image, 0, 1)).astype("uint8")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def position_of(pixel, size, margin=0, scale=SCALE):
    """Convert a pixel of the picture to a position (x, y) on the canvas.

    `size` is the canvas's side, or its width and height.
    """
    last = np.subtract(size, 1 + margin)
    x, y = np.clip(np.array(pixel) // scale, margin, last)
    return int(x), int(y)


def cross(picture, x, y, color, scale=SCALE, size=SCALE):
    """Draw a cross around a position, which stays visible in its middle.

    Args:
        picture: Array from `enlarge`, modified in place.
        x, y: Position on the canvas.
        color: uint8 array of shape `(3,)`.
        scale: Integer, the scale of the picture.
        size: Integer, distance in pixels from the position to the four lines,
            which are twice as long and a third as wide.
    """
    rows, columns = np.indices(picture.shape[:2])
    distances = [
        abs(index + 0.5 - scale * (center + 0.5))
        for index, center in ((rows, y), (columns, x))
    ]
    near, far = np.minimum(*distances), np.maximum(*distances)
    picture[(near < size / 6) & (far > size) & (far < 3 * size)] = color
    return picture


def outline(picture, box, color, width=2):
    """Draw the outline of a box.

    Args:
        picture: Array from `enlarge`, modified in place.
        box: Top, left, bottom and right of the box on the canvas.
        color: uint8 array of shape `(3,)`.
        width: Integer, width of the line in pixels, inside the box.
    """
    ends = np.array(picture.shape[:2] * 2)
    corners = np.round(np.multiply(box, SCALE)).clip(0, ends).astype(int)
    top, left, bottom, right = (int(side) for side in corners)
    inside = np.zeros(picture.shape[:2], bool)
    inside[top:bottom, left:right] = True
    inside[top + width : bottom - width, left + width : right - width] = False
    picture[inside] = color
    return picture


def edges(mask):
    """Return which pixels of a mask touch one outside of it, on four sides."""
    padded = np.pad(mask, 1, "edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1]
    inner &= padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
