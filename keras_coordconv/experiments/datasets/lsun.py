"""LSUN bedrooms, or the images of any folder, as squares of 64x64 pixels.

LSUN is distributed at https://www.yf.io/p/lsun as zip files with an LMDB of
WebP images. TensorFlow Datasets reads them with a package that no longer loads.
"""

import contextlib
import io
import os
import pathlib
import zipfile

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_coordconv import _files
from keras_coordconv._install import install_command
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import image_sources

NAME = "bedroom_train_lmdb"


class LmdbImages:
    """Sequence of the encoded images of an LMDB.

    Args:
        folder: String or path of a folder with `data.mdb`.

    Raises:
        ImportError: if the package lmdb is not installed.
        ValueError: if the folder is not a readable LMDB.
    """

    def __init__(self, folder):
        try:
            import lmdb
        except ImportError as error:
            raise ImportError(
                f"Reading {folder} requires the package lmdb. "
                f"Run: {install_command('lsun')}"
            ) from error
        try:
            self._database = lmdb.open(
                os.fspath(folder), readonly=True, lock=False, readahead=False
            )
        except lmdb.Error as error:
            raise ValueError(
                f"Cannot read {folder} as an LMDB: {error}"
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
    """Sequence of the encoded images in a folder and its subfolders.

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
    """Opens LSUN's bedrooms, or else all images of a folder.

    Args:
        folder: String or path. If it contains `bedroom_train_lmdb.zip`, the
            file is first unpacked next to it, once. If it contains
            `bedroom_train_lmdb/`, these images are used; otherwise all JPEG,
            PNG, GIF, WebP and BMP files in the folder and its subfolders.

    Returns:
        `LmdbImages` or `FolderImages`, a sequence of encoded images.

    Raises:
        ValueError: if no images are found.
        ImportError: see `LmdbImages`.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"Data folder not found. Received: {folder}")
    unpacked, packed = folder / NAME, folder / f"{NAME}.zip"
    if packed.exists() and not unpacked.exists():
        # Another process may unpack it at the same time.
        with (
            contextlib.suppress(FileExistsError),
            _files.atomic_write(unpacked) as partial,
        ):
            _unpack(packed, partial)
    images = (LmdbImages if unpacked.exists() else FolderImages)(
        unpacked if unpacked.exists() else folder
    )
    if not len(images):
        raise ValueError(
            f"The data folder must contain {NAME}.zip, {NAME}/ or images. "
            f"Received: {folder}"
        )
    return images


def dataset(
    images,
    batch_size=64,
    limit_examples=None,
    shuffle_seed=None,
    epochs_done=0,
):
    """Batches the central square of each image, resized to 64x64.

    Images that cannot be decoded are skipped.

    Args:
        images: Sequence of encoded images, see `open_images`.
        batch_size: Integer. The last batch may be smaller.
        limit_examples: Integer, to use the first images only, or `None` for
            all.
        shuffle_seed: Integer, for a new order every epoch, or `None` to keep
            the order of `images`.
        epochs_done: Integer, number of epochs that a resumed run has completed:
            it continues with the order of the next one.

    Returns:
        A `tf.data.Dataset` of uint8 arrays of shape `(batch, 64, 64, 3)`. It
        raises `InvalidArgumentError` if no image can be decoded.
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
    """Decodes the central square of an image and resizes it.

    Args:
        encoded: Bytes, the content of a file in any format that Pillow reads.

    Returns:
        uint8 array of shape `(64, 64, 3)`.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        side = min(image.size)
        if image.mode.startswith("I"):
            # 16 bits of gray, which Pillow would clip to 255.
            gray = np.clip(np.asarray(image) // 256, 0, 255)
            image = Image.fromarray(gray.astype("uint8"))
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
            f"{packed} must be a zip file with {NAME}/data.mdb. "
            f"Received: {error}"
        ) from error
