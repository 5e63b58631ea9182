"""Draws enlarged images."""

import numpy as np

SCALE = 6
WHITE, RED, GREEN, BLUE, LIGHT_BLUE = (
    np.array(color, "uint8")
    for color in (
        (255, 255, 255),
        (229, 57, 53),
        (0, 200, 83),
        (21, 50, 90),
        (66, 133, 210),
    )
)


def enlarge(image):
    """Enlarge each pixel of an image to 6 x 6 pixels.

    Args:
        image: Array of shape `(height, width)` or `(height, width, 3)`, uint8
            or float in [0, 1].

    Returns:
        uint8 array of shape `(6 * height, 6 * width, 3)`.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = (255 * np.clip(image, 0, 1)).astype("uint8")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=-1)
    return image.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def position_of(pixel, size, margin=0):
    """Convert a pixel of the picture to a position (x, y) on the canvas."""
    x, y = np.clip(np.array(pixel) // SCALE, margin, size - 1 - margin)
    return int(x), int(y)


def cross(picture, x, y, color):
    """Draw a cross at a position, which may be fractional or off the canvas."""
    for step in range(-2 * SCALE, 2 * SCALE + 1):
        for dx, dy in ((step, 0), (0, step)):
            row = round(SCALE * (y + 0.5)) + dy
            column = round(SCALE * (x + 0.5)) + dx
            if 0 <= row < len(picture) and 0 <= column < len(picture[0]):
                picture[row, column] = color
    return picture


def outline(picture, box, color):
    """Draw the outline of a box, two pixels wide.

    Args:
        picture: Array from `enlarge`, modified in place.
        box: Top, left, bottom and right of the box on the canvas.
        color: uint8 array of shape `(3,)`.
    """
    ends = np.array(picture.shape[:2] * 2)
    corners = np.round(np.multiply(box, SCALE)).clip(0, ends).astype(int)
    top, left, bottom, right = (int(side) for side in corners)
    for rows, columns in (
        (slice(top, top + 2), slice(left, right)),
        (slice(max(bottom - 2, 0), bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 2)),
        (slice(top, bottom), slice(max(right - 2, 0), right)),
    ):
        picture[rows, columns] = color
    return picture
