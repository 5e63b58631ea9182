"""LSUN bedrooms, or a folder of any images, as squares of 64x64 pixels.

LSUN comes as zip files that hold an LMDB of WebP images, from
https://www.yf.io/p/lsun. TensorFlow Datasets would need a package for them that
does not load any more.
"""

import io
import os
import pathlib
import zipfile

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_coordconv import _files
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import image_sources

NAME = "bedroom_train_lmdb"


class LmdbImages:
    """The encoded images of an LMDB, by their number.

    Args:
        folder: String or path, which has `data.mdb`.

    Raises:
        ImportError: if the package lmdb is not installed.
        ValueError: if the folder has no LMDB.
    """

    def __init__(self, folder):
        try:
            import lmdb
        except ImportError as error:
            raise ImportError(
                "LSUN's files need the package lmdb. Received: "
                f"{folder}. Run: pip install 'coordconv-keras[lsun]'"
            ) from error
        try:
            self._database = lmdb.open(
                os.fspath(folder), readonly=True, lock=False, readahead=False
            )
        except lmdb.Error as error:
            raise ValueError(
                f"LSUN must be a readable LMDB. Received: {folder} ({error})"
            ) from error
        with self._database.begin() as transaction:
            keys = transaction.cursor().iternext(values=False)
            self._keys = list(keys)

    def __len__(self):
        return len(self._keys)

    def __getitem__(self, number):
        with self._database.begin() as transaction:
            return transaction.get(self._keys[number])


class FolderImages:
    """The encoded images of a folder and those below it, by their number.

    Args:
        folder: String or path.
    """

    def __init__(self, folder):
        self._paths = list(image_sources.images_below(os.fsencode(folder)))

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, number):
        return pathlib.Path(os.fsdecode(self._paths[number])).read_bytes()


def open_images(folder):
    """Finds LSUN's bedrooms, or else other images.

    Args:
        folder: String or path. With `bedroom_train_lmdb.zip`, that file is
            unpacked beside itself, once; with `bedroom_train_lmdb/`, the
            images are those; else all JPEG, PNG, GIF and BMP files in the
            folder and below.

    Returns:
        `LmdbImages` or `FolderImages`: encoded images, as a sequence.

    Raises:
        ValueError: if there are no images.
        ImportError: as from `LmdbImages`.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"The data folder must exist. Received: {folder}")
    unpacked, packed = folder / NAME, folder / f"{NAME}.zip"
    if packed.exists() and not unpacked.exists():
        with _files.atomic_write(unpacked) as partial:
            _unpack(packed, partial)
    images = (LmdbImages if unpacked.exists() else FolderImages)(
        unpacked if unpacked.exists() else folder
    )
    if not len(images):
        raise ValueError(
            f"The data folder must have {NAME}.zip, {NAME}/ or images. "
            f"Received: {folder}, which has none"
        )
    return images


def dataset(
    images,
    batch_size=64,
    limit_examples=None,
    shuffle_seed=None,
    epochs_done=0,
):
    """Batches of the middle of each image, 64x64.

    Images that cannot be decoded are left out.

    Args:
        images: Encoded images, as from `open_images`.
        batch_size: Integer. The last batch may be smaller.
        limit_examples: Integer, how many images to take, the first ones, or
            `None` for all.
        shuffle_seed: Integer, for a new order in each pass, or `None` for that
            of `images`.
        epochs_done: Integer, number of passes that a resumed training has done:
            it sees the orders that would have come next.

    Returns:
        A `tf.data.Dataset` of uint8 arrays of shape `(batch, 64, 64, 3)`. It
        raises `InvalidArgumentError` where no image can be decoded.
    """
    count = min(len(images), limit_examples or len(images))
    if shuffle_seed is None:
        numbers = tf.data.Dataset.range(count)
    else:
        numbers = epochs.shuffled_numbers(count, shuffle_seed, epochs_done)

    def decode(_, number):
        square = tf.numpy_function(
            lambda number: decode_square(images[number]), [number], tf.uint8
        )
        return tf.ensure_shape(square, (CANVAS_SIZE, CANVAS_SIZE, 3))

    return (
        image_decoding.decodable(numbers, decode, count)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def decode_square(encoded):
    """The square in the middle of an image, resized.

    Args:
        encoded: Bytes, a file of any format that Pillow knows.

    Returns:
        uint8 array of shape `(64, 64, 3)`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        square = image.convert("RGB").resize(
            (CANVAS_SIZE, CANVAS_SIZE),
            Image.Resampling.BOX,
            (left, top, left + side, top + side),
        )
    return np.asarray(square)


def _unpack(packed, folder):
    """Unpacks `<NAME>/data.mdb` as `<folder>/data.mdb`."""
    try:
        with zipfile.ZipFile(packed) as archive:
            folder.mkdir()
            member = archive.getinfo(f"{NAME}/data.mdb")
            member.filename = "data.mdb"
            archive.extract(member, folder)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"LSUN's file must be a zip of {NAME}/data.mdb. "
            f"Received: {packed} ({error})"
        ) from error
