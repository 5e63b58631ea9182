"""Small stand-in for ImageNet: ten classes of drawn shapes, as JPEG files.

Its class folders are read like those of photographs. It shows whether a model
learns at all, not how well it does on photographs.
"""

import colorsys
import pathlib

import numpy as np
import tensorflow as tf

from keras_coordconv import _files

SIZE = 96
# Number of images per class.
EXAMPLES = {"train": 200, "val": 50}

# Whether a pixel is inside the shape. `u` and `v` are its offsets from the
# center, to the right and down, in half-widths of the shape.
SHAPES = {
    "bar": lambda u, v: (abs(u) < 1) & (abs(v) < 0.35),
    "column": lambda u, v: (abs(v) < 1) & (abs(u) < 0.35),
    "cross": lambda u, v: (
        (np.maximum(abs(u), abs(v)) < 1) & (np.minimum(abs(u), abs(v)) < 0.3)
    ),
    "diamond": lambda u, v: abs(u) + abs(v) < 1.1,
    "disc": lambda u, v: np.hypot(u, v) < 1,
    "frame": lambda u, v: (
        (np.maximum(abs(u), abs(v)) < 0.9) & (np.maximum(abs(u), abs(v)) > 0.5)
    ),
    "ring": lambda u, v: (np.hypot(u, v) < 1) & (np.hypot(u, v) > 0.5),
    "saltire": lambda u, v: (
        (np.maximum(abs(u), abs(v)) < 0.9) & (abs(abs(u) - abs(v)) < 0.35)
    ),
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.9,
    "triangle": lambda u, v: (v < 0.9) & (v > 2 * abs(u) - 0.9),
}


def write_stand_in(folder, examples=None, seed=0):
    """Draws the shapes at random positions, in random sizes and colors.

    Args:
        folder: String or path. An existing folder is left unchanged.
        examples: Dictionary that maps `"train"` and `"val"` to the number of
            images per class. Defaults to 200 and 50.
        seed: Integer.

    Returns:
        `pathlib.Path` of the folder, with `train/<shape>/<number>.jpg` and
        `val/<shape>/<number>.jpg`.
    """
    folder = pathlib.Path(folder)
    if folder.exists():
        return folder
    try:
        with _files.atomic_write(folder) as partial:
            _draw_all(partial, examples or EXAMPLES, seed)
    except OSError:
        # Another process of the same run was first to write the images.
        if not folder.exists():
            raise
    return folder


def _draw_all(folder, examples, seed):
    random = np.random.default_rng(seed)
    for subset, count in examples.items():
        for name in SHAPES:
            (folder / subset / name).mkdir(parents=True)
            for number in range(count):
                encoded = tf.io.encode_jpeg(draw(name, random), quality=90)
                path = folder / subset / name / f"{number:04d}.jpg"
                path.write_bytes(encoded.numpy())


def draw(name, random):
    """Draws an image of a shape.

    Args:
        name: String, one of `SHAPES`.
        random: `np.random.Generator`.

    Returns:
        uint8 array of shape `(96, 96, 3)`.
    """
    half_width = random.uniform(0.25, 0.42) * SIZE
    x, y = random.uniform(half_width, SIZE - half_width, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = SHAPES[name]((columns - x) / half_width, (rows - y) / half_width)
    # Neighboring classes have similar hues: color helps, but does not suffice.
    hue = list(SHAPES).index(name) / len(SHAPES) + random.normal(0, 0.05)
    color = 255 * np.array(
        colorsys.hsv_to_rgb(hue % 1, 1, random.uniform(0.7, 1))
    )
    background = np.full(3, random.uniform(0, 255))
    image = np.where(inside[..., None], color, background)
    image += random.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype("uint8")
