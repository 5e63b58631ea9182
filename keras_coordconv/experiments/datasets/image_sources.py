"""Sources of labeled images: class folders, or TensorFlow Datasets.

>>> source = open_source("imagenet2012", data_dir)
>>> examples = source.examples("train", shuffle_seed=0)  # items and labels
>>> files = examples.map(lambda item, label: (source.read(item), label))
"""

import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments.datasets import epochs

SUBSETS = ("train", "validation")

_ENDINGS = (b".jpg", b".jpeg", b".png", b".gif", b".webp", b".bmp")
_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "test")}
# Without a validation folder, every tenth image is used for validation.
_HELD_OUT = 10
# Number of files of TensorFlow Datasets that are read in turn, of records read
# per turn, and of records shuffled together. A record is an encoded image of
# about 110 kB.
_FILES_IN_TURNS = 16
_RECORDS_IN_A_TURN = 16
_SHUFFLED_TOGETHER = 2048


class FolderSource:
    """Class folders of images: `train/<class>/*.jpg` and `val/<class>/*.jpg`.

    `val` may also be named `validation` or `test`. Without a folder `train`,
    the class folders are expected in `folder` itself, and every tenth image is
    used for validation. Files with the extension .jpg, .jpeg, .png, .gif, .webp
    or .bmp, in upper or lower case, are images; subfolders of a class folder
    are searched too. Names that start with a dot are ignored.

    Args:
        folder: String or path.
        limit_examples: Integer, maximum number of images per subset, taken
            evenly from all classes.

    Raises:
        ValueError: if there are no class folders with images, or a folder
            cannot be read.
    """

    def __init__(self, folder, limit_examples=None):
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"Data folder not found. Received: {folder}")
        roots = {
            subset: _first_folder(self.folder, _FOLDERS[subset])
            for subset in SUBSETS
        }
        if roots["train"] is None:
            names, paths, labels = _list_images(self.folder)
            held_out = np.arange(len(paths)) % _HELD_OUT == _HELD_OUT - 1
            parts = {
                "train": (paths[~held_out], labels[~held_out]),
                "validation": (paths[held_out], labels[held_out]),
            }
        else:
            names, *train = _list_images(roots["train"])
            parts = {"train": tuple(train)}
            if roots["validation"] is None:
                raise ValueError(
                    "No validation images: add a folder val, validation or "
                    f"test with the class folders of {roots['train']}. "
                    f"Received: {self.folder}"
                )
            found, *validation = _list_images(roots["validation"])
            if found != names:
                raise ValueError(
                    "The training and validation folders must have the same "
                    f"class folders. Received: {roots['train']} with "
                    f"{len(names)}, {roots['validation']} with {len(found)}; "
                    "only in one of them: "
                    f"{sorted(set(names) ^ set(found))[:5]}"
                )
            parts["validation"] = tuple(validation)
        self.labels = names
        self._parts = {
            subset: _spread(part, limit_examples)
            for subset, part in parts.items()
        }

    def count(self, subset):
        """Returns the number of images in a subset."""
        return len(self._parts[subset][0])

    def files(self, subset):
        """Returns the paths of the images in a subset."""
        return [os.fsdecode(path) for path in self._parts[subset][0]]

    def examples(self, subset, shuffle_seed=None, shards=1, shard=0, start=0):
        """Returns the examples of a subset.

        Args:
            subset: String, one of `SUBSETS`.
            shuffle_seed: Integer, to repeat indefinitely, reshuffled every
                epoch; the order depends only on this seed and the epoch.
                `None` for one epoch in the order of the classes.
            shards: Integer, number of processes that share the examples.
            shard: Integer, index of this process.
            start: Integer, number of examples to skip, counted over all
                processes.

        Returns:
            `tf.data.Dataset` of pairs: an item for `read`, and the label.
        """
        paths, labels = map(tf.constant, self._parts[subset])
        count = len(paths)

        def one_epoch(epoch):
            return tf.data.Dataset.from_tensor_slices(
                epochs.permutation(count, shuffle_seed, epoch)
            )

        if shuffle_seed is None:
            numbers = tf.data.Dataset.range(start, count)
        else:
            numbers = _endless(one_epoch, count, start)
        return numbers.shard(shards, shard).map(
            lambda number: (paths[number], labels[number])
        )

    def read(self, path):
        """Returns the encoded image; works inside a graph."""
        return tf.io.read_file(path)


class TfdsSource:
    """Image classification data set from TensorFlow Datasets.

    Args:
        name: String, such as `"imagenet2012"`: any data set with the features
            `image` and `label`.
        data_dir: String, TFDS's folder, or `None` for its default. Raw files in
            its `downloads/manual` are prepared first.
        limit_examples: Integer, maximum number of images per subset.
        prepare: Boolean, whether raw files may be prepared. Several processes
            must not do so at the same time.

    Raises:
        ValueError: if the data set is unknown to TFDS, or its files are
            missing or not in TFRecord format.
    """

    def __init__(self, name, data_dir=None, limit_examples=None, prepare=True):
        import tensorflow_datasets as tfds

        try:
            self.builder = tfds.builder(name, data_dir=data_dir)
        except (tfds.core.registered.DatasetNotFoundError, OSError) as error:
            raise ValueError(
                f"TensorFlow Datasets has no data set {name!r}. "
                f"Received: data_dir={data_dir!r}"
            ) from error
        _prepare(self.builder, prepare)
        check_file_format(self.builder)
        features = self.builder.info.features
        if not {"image", "label"} <= set(features):
            raise ValueError(
                "The data set must have the features `image` and `label`. "
                f"Received: {name!r} with {sorted(features)}"
            )
        self.labels = list(features["label"].names)
        splits = self.builder.info.splits
        self._splits = {
            "train": "train",
            "validation": next(
                (split for split in ("validation", "test") if split in splits),
                None,
            ),
        }
        for subset, split in self._splits.items():
            if split not in splits:
                raise ValueError(
                    f"The data set must have a split for {subset}. "
                    f"Received: {name!r} with {sorted(splits)}"
                )
        self._limit = limit_examples

    def count(self, subset):
        """Returns the number of images in a subset."""
        examples = self.builder.info.splits[self._splits[subset]].num_examples
        return min(examples, self._limit or examples)

    def examples(self, subset, shuffle_seed=None, shards=1, shard=0, start=0):
        """Returns the examples of a subset, as `FolderSource.examples` does.

        When shuffling, each process reads only its own part of the data set.
        The files are shuffled, and the records within blocks of about two
        thousand.
        """
        count = self.count(subset)
        first, end = 0, count
        if shuffle_seed is not None:
            first, end = (count * n // shards for n in (shard, shard + 1))
        split = f"{self._splits[subset]}[{first}:{end}]"
        if shuffle_seed is None:
            records = self._records(split).skip(start).shard(shards, shard)
        else:
            records = _endless(
                lambda epoch: self._records(split, shuffle_seed, epoch),
                end - first,
                start // shards,
            )
        return records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE)

    def read(self, encoded):
        """Returns the encoded image; works inside a graph."""
        return encoded

    def _records(self, split, seed=None, epoch=None):
        """Reads a split's serialized examples, shuffled if a seed is given."""
        files = self.builder.info.splits[split].file_instructions
        names, skips, takes = (
            tf.constant([getattr(file, name) for file in files])
            for name in ("filename", "skip", "take")
        )

        def read(file):
            records = tf.data.TFRecordDataset(names[file])
            skip, take = (tf.cast(n[file], tf.int64) for n in (skips, takes))
            return records.skip(skip).take(take)

        def shuffle(block, records):
            block_seed = tf.random.experimental.stateless_fold_in(
                tf.stack([tf.cast(seed, tf.int64), epoch]), block
            )
            return tf.random.experimental.stateless_shuffle(records, block_seed)

        if seed is None:
            return tf.data.Dataset.range(len(files)).flat_map(read)
        return (
            tf.data.Dataset.from_tensor_slices(
                epochs.permutation(len(files), seed, epoch)
            )
            .interleave(
                read,
                cycle_length=_FILES_IN_TURNS,
                block_length=_RECORDS_IN_A_TURN,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            .batch(_SHUFFLED_TOGETHER)
            .enumerate()
            .map(shuffle)
            .prefetch(1)
            .unbatch()
        )

    def _parse(self, record):
        import tensorflow_datasets as tfds

        example = self.builder.info.features.deserialize_example(
            record, decoders={"image": tfds.decode.SkipDecoding()}
        )
        return example["image"], example["label"]


def check_file_format(builder):
    """Raises a `ValueError` if a data set is not stored as TFRecord files.

    TensorFlow cannot read the other formats of TensorFlow Datasets.
    """
    found = builder.info.file_format.value
    if found != "tfrecord":
        raise ValueError(
            f"The data set must be stored as tfrecord. Received: {found} in "
            f"{builder.data_path}. Prepare it with TensorFlow Datasets in "
            "another folder, without `file_format`."
        )


def open_source(
    name="imagenet2012", data_dir=None, limit_examples=None, prepare=True
):
    """Opens class folders, or else a data set of TensorFlow Datasets.

    Args:
        name: String, name in TensorFlow Datasets.
        data_dir: String. A folder with neither `<name>/` nor
            `downloads/manual/` is read as class folders.
        limit_examples: See `FolderSource` and `TfdsSource`.
        prepare: See `TfdsSource`.

    Returns:
        `FolderSource` or `TfdsSource`.

    Raises:
        ValueError: if no images are found.
    """
    if data_dir is not None:
        known = (name.split("/")[0], "downloads/manual")
        if not any(pathlib.Path(data_dir, path).is_dir() for path in known):
            return FolderSource(data_dir, limit_examples)
    return TfdsSource(name, data_dir, limit_examples, prepare)


def _endless(one_epoch, count, start):
    """Repeats epochs of `count` examples indefinitely, from `start` on."""
    numbers = tf.data.Dataset.counter(start // count)
    return numbers.flat_map(one_epoch).skip(start % count)


def _first_folder(folder, names):
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    return None


def _list_images(folder):
    """Lists the names of the class folders, and all paths and labels."""
    found = {}
    try:
        # As bytes: names need not be UTF-8.
        for entry in sorted(os.scandir(os.fsencode(folder)), key=_name):
            if entry.is_dir() and not entry.name.startswith(b"."):
                images = list(images_below(entry.path))
                if images:
                    name = entry.name.decode("utf-8", "replace")
                    found.setdefault(name, []).extend(images)
    except OSError as error:
        raise ValueError(
            "Cannot read the class folder "
            f"{os.fsdecode(error.filename)}: {error.strerror}"
        ) from error
    if len(found) < 2:
        raise ValueError(
            "A data folder must have at least two class folders with images, "
            "as <folder>/train/<class>/*.jpg and <folder>/val/<class>/*.jpg. "
            f"Received: {folder} with {len(found)}"
        )
    paths = [path for images in found.values() for path in images]
    labels = np.repeat(np.arange(len(found)), list(map(len, found.values())))
    return list(found), np.array(paths, object), labels.astype("int64")


def images_below(folder):
    """Yields the paths of the images in a folder and below, following links."""

    def fail(error):
        raise error

    seen = set()
    for root, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        folders[:] = sorted(x for x in folders if not x.startswith(b"."))
        # A link may point back to a parent folder.
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            if name.lower().endswith(_ENDINGS) and not name.startswith(b"."):
                yield os.path.join(root, name)


def _name(entry):
    return entry.name


def _spread(part, limit):
    """Picks up to `limit` examples, evenly spaced."""
    count = len(part[0])
    if limit is None or limit >= count:
        return part
    chosen = np.arange(limit) * count // limit
    return tuple(array[chosen] for array in part)


def _prepare(builder, allowed):
    """Prepares a data set from raw files that were downloaded manually."""
    if builder.is_prepared():
        return
    manual = pathlib.Path(builder._data_dir_root) / "downloads/manual"
    if manual.is_dir() and any(manual.iterdir()):
        if not allowed:
            raise ValueError(
                f"{builder.name} must be prepared by a single process. Run the "
                "script once with one process. "
                f"Received: raw files in {manual}"
            )
        builder.download_and_prepare()
        return
    raise ValueError(
        f"{builder.name} not found: prepare it with TensorFlow Datasets, or "
        f"put its raw files into {manual}"
    )
