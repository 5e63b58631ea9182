"""Image classification at the scale of ImageNet: from files to batches.

    source = open_source("imagenet2012", data_dir)   # TFDS, or class folders
    train_dataset(source, image_size, batch_size)    # random crops, for ever
    evaluation_dataset(source, "validation", ...)    # central crops, once

Images stay encoded until the one step that reads, decodes no more than the crop
and resizes it. An image that cannot be decoded is left out and counted.
"""

import itertools
import pathlib

import numpy as np
import tensorflow as tf

# Of ImageNet's training images, red, green and blue, on the scale 0 to 255.
MEAN = (123.675, 116.28, 103.53)
STANDARD_DEVIATION = (58.395, 57.12, 57.375)
# The central crop of evaluation, as a part of the shorter side.
CENTRAL_FRACTION = 0.875
SUBSETS = ("train", "validation")

_AREA_RANGE = (0.08, 1.0)
_ASPECT_RANGE = (3 / 4, 4 / 3)
_END_OF_JPEG = b"\xff\xd9"
# Encoded images, about 110 kB each.
_SHUFFLE_BUFFER = 4096
_FILE_NAMES = ("*.jpg", "*.jpeg", "*.png", "*.JPG", "*.JPEG", "*.PNG")
_FOLDERS = {"train": ("train",), "validation": ("val", "validation", "test")}
# What so many images in a row have is no damage of their own.
_TOO_MANY_UNDECODABLE = 1000
# One in so many is for validation where a folder has no part for it.
_HELD_OUT = 10


class ImageCounts:
    """What a data set has met so far, by kind.

    `rgb`, `grey` and `cmyk` JPEGs and `other_format`s (PNG, GIF, BMP) come out
    as RGB. Those that are `undecodable`, as they are damaged, truncated or not
    images at all, do not come out.

    Example:

    >>> counts = ImageCounts()
    >>> for batch in evaluation_dataset(source, 224, 64, counts=counts):
    ...     pass
    >>> counts.numbers()["undecodable"]
    0
    """

    KINDS = ("rgb", "grey", "cmyk", "other_format", "undecodable")

    def __init__(self):
        with tf.device("CPU"):
            self._variable = tf.Variable(
                np.zeros(len(self.KINDS), "int64"), trainable=False
            )

    def add(self, kinds, undecodable):
        """Counts, in a graph, images of some kinds and those left out."""
        decoded = len(self.KINDS) - 1
        seen = tf.one_hot(kinds, decoded, dtype=tf.int64)
        seen = tf.reduce_sum(seen, axis=0)
        self._variable.assign_add(tf.concat([seen, [undecodable]], axis=0))

    def numbers(self):
        """Dictionary of how many, by kind."""
        counts = self._variable.numpy().tolist()
        return dict(zip(self.KINDS, counts, strict=True))


class FolderSource:
    """Class folders of images: `train/<class>/*.jpg` and `val/<class>/*.jpg`.

    With no folder `train`, the class folders are those of `folder` itself, and
    one image in ten is for validation.

    Args:
        folder: String or path.
        limit_examples: Integer, only so many of each subset, from all classes.

    Raises:
        ValueError: if there are no images in class folders.
    """

    def __init__(self, folder, limit_examples=None):
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"The data folder must exist. Received: {folder}")
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
                    f"Beside {roots['train']} there must be a folder val, "
                    "validation or test with the same class folders. "
                    f"Received: {self.folder}"
                )
            found, *validation = _list_images(roots["validation"])
            if found != names:
                raise ValueError(
                    "train and validation must have the same class folders. "
                    f"Received: {roots['train']} with {len(names)}, "
                    f"{roots['validation']} with {len(found)}; different: "
                    f"{sorted(set(names) ^ set(found))[:5]}"
                )
            parts["validation"] = tuple(validation)
        self.labels = names
        self._parts = {
            subset: _spread(part, limit_examples)
            for subset, part in parts.items()
        }

    def count(self, subset):
        """Number of images of a subset."""
        return len(self._parts[subset][0])

    def files(self, subset):
        """Paths of the images of a subset."""
        return [path.decode() for path in self._parts[subset][0]]

    def examples(self, subset, shuffle_seed=None, shards=1, shard=0, start=0):
        """`tf.data.Dataset` of what `read` takes, and the class.

        Args:
            subset: String, one of `SUBSETS`.
            shuffle_seed: Integer, for the subset in a new order each time, for
                ever. `None` for the subset once, in order.
            shards: Integer, how many processes share the examples.
            shard: Integer, which of them this one is.
            start: Integer, how many examples to leave out at the beginning.
        """
        paths, labels = map(tf.constant, self._parts[subset])
        count = len(paths)

        def shuffled(number_of_pass):
            # The order of all paths, and not of those in a buffer; it depends
            # on nothing but the seed and the pass.
            return tf.data.Dataset.from_tensor_slices(
                tf.random.experimental.stateless_shuffle(
                    tf.range(count, dtype=tf.int64),
                    tf.stack([shuffle_seed, number_of_pass]),
                )
            )

        if shuffle_seed is None:
            numbers = tf.data.Dataset.range(start, count)
        else:
            passes = tf.data.Dataset.counter(start // count)
            numbers = passes.flat_map(shuffled).skip(start % count)
        return numbers.shard(shards, shard).map(
            lambda number: (paths[number], labels[number])
        )

    def read(self, path):
        """The encoded image, in a graph."""
        return tf.io.read_file(path)


class TfdsSource:
    """An image classification data set of TensorFlow Datasets.

    Args:
        name: String, as `"imagenet2012"`, or any with `image` and `label`.
        data_dir: String, TFDS's folder, or `None` for its default. Where it
            has the raw files in `downloads/manual`, they are prepared first.
        limit_examples: Integer, only so many of each subset.
        prepare: Boolean, whether raw files may be prepared: not by several
            processes at once.

    Raises:
        ValueError: if the data set does not exist or is not there.
    """

    def __init__(self, name, data_dir=None, limit_examples=None, prepare=True):
        import tensorflow_datasets as tfds

        try:
            self.builder = tfds.builder(name, data_dir=data_dir)
        except (tfds.core.registered.DatasetNotFoundError, OSError) as error:
            raise ValueError(
                "TensorFlow Datasets must know the data set. "
                f"Received: {name!r}, data_dir={data_dir!r}"
            ) from error
        _prepare(self.builder, prepare)
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
        """Number of images of a subset."""
        examples = self.builder.info.splits[self._splits[subset]].num_examples
        return min(examples, self._limit or examples)

    def examples(self, subset, shuffle_seed=None, shards=1, shard=0, start=0):
        """As `FolderSource.examples`, but for the order.

        The shards are groups of files, and a later start is another order.
        """
        import tensorflow_datasets as tfds

        if shuffle_seed is not None:
            shuffle_seed = hash((shuffle_seed, start)) % 2**31
        dataset = self.builder.as_dataset(
            split=f"{self._splits[subset]}[:{self.count(subset)}]",
            decoders={"image": tfds.decode.SkipDecoding()},
            shuffle_files=shuffle_seed is not None,
            read_config=tfds.ReadConfig(
                shuffle_seed=shuffle_seed,
                shuffle_reshuffle_each_iteration=True,
                try_autocache=False,
                input_context=tf.distribute.InputContext(shards, shard)
                if shards > 1 and shuffle_seed is not None
                else None,
            ),
        ).map(lambda example: (example["image"], example["label"]))
        if shuffle_seed is None:
            return dataset.shard(shards, shard)
        buffer = min(self.count(subset), _SHUFFLE_BUFFER)
        return dataset.shuffle(buffer, seed=shuffle_seed).repeat()

    def read(self, encoded):
        """The encoded image, in a graph."""
        return encoded


def open_source(
    name="imagenet2012", data_dir=None, limit_examples=None, prepare=True
):
    """Finds the images: class folders, or else TensorFlow Datasets.

    Args:
        name: String, the name in TensorFlow Datasets.
        data_dir: String. A folder that has neither `<name>/` nor
            `downloads/manual/` is one of class folders.
        limit_examples: Integer, only so many of each subset.
        prepare: As for `TfdsSource`.

    Returns:
        `FolderSource` or `TfdsSource`.

    Raises:
        ValueError: if there is nothing.
    """
    if data_dir is not None:
        known = (name.split("/")[0], "downloads/manual")
        if not any(pathlib.Path(data_dir, path).is_dir() for path in known):
            return FolderSource(data_dir, limit_examples)
    return TfdsSource(name, data_dir, limit_examples, prepare)


def train_dataset(
    source,
    image_size,
    batch_size,
    seed=0,
    shards=1,
    shard=0,
    start=0,
    counts=None,
):
    """Batches of random crops, for ever.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, images of this process in a batch.
        seed: Integer, of the order and of the crops.
        shards: Integer, how many processes share the images.
        shard: Integer, which of them this one is.
        start: Integer, how many images, of all processes, to leave out at the
            beginning: those that a resumed run has seen, but for as many as
            could not be decoded.
        counts: `ImageCounts` to count in.

    Returns:
        `tf.data.Dataset` of images, float32 of shape `(batch_size, image_size,
        image_size, 3)`, and one-hot labels, float32.
    """

    def preprocess(item, index):
        # The same crops, however many processes share the images, and
        # wherever they start.
        position = start + index * shards + shard
        crop_seed = tf.stack([tf.cast(seed, tf.int64), position])
        return preprocess_for_training(source.read(item), image_size, crop_seed)

    def select(images, labels, weights):
        return images, labels

    examples = source.examples("train", seed, shards, shard, start)
    decoded = _decode(examples, preprocess)
    return (
        _count_and_batch(decoded, source, batch_size, counts)
        .map(select)
        .prefetch(_AUTOTUNE)
    )


def evaluation_dataset(
    source,
    image_size,
    batch_size,
    subset="validation",
    shards=1,
    shard=0,
    counts=None,
):
    """Batches of central crops of each image once, filled up at the end.

    All batches are full, and there are as many for each process, so that every
    number of devices has its share: what is missing at the end, or was left
    out, is replaced by black images of weight 0.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, images of this process in a batch.
        subset: String, one of `SUBSETS`.
        shards: Integer, how many processes share the images.
        shard: Integer, which of them this one is.
        counts: `ImageCounts` to count in.

    Returns:
        `tf.data.Dataset` of images and one-hot labels as `train_dataset`, and
        weights, float32 of shape `(batch_size,)`.
    """
    total = source.count(subset)
    own = len(range(shard, total, shards))
    batches = -(-total // (batch_size * shards))

    def preprocess(item, index):
        del index
        return preprocess_for_evaluation(source.read(item), image_size)

    def fill(index):
        black = tf.zeros((image_size, image_size, 3))
        return index, tf.constant(_FILLING), black, tf.constant(0, tf.int64)

    decoded = (
        _decode(source.examples(subset, None, shards, shard), preprocess)
        # Its number says how many are missing before it.
        .concatenate(tf.data.Dataset.counter(own).map(fill))
        .take(batches * batch_size)
    )
    return (
        _count_and_batch(decoded, source, batch_size, counts)
        .apply(tf.data.experimental.assert_cardinality(batches))
        .prefetch(_AUTOTUNE)
    )


def preprocess_for_training(encoded, image_size, seed):
    """A random area of an encoded image, resized, maybe mirrored, normalized.

    Args:
        encoded: String tensor, the file.
        image_size: Integer, height and width of the result.
        seed: Integer tensor of shape `(2,)`.

    Returns:
        Tuple of the kind of image, a position in `ImageCounts.KINDS`, and the
        image, float32 of shape `(image_size, image_size, 3)`.
    """

    kind, crop = decode_crop(encoded, lambda shape: random_window(shape, seed))
    image = _resize(crop, image_size)
    # A seed of its own: from the same, the crop's aspect has the same number.
    mirror_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    mirror = tf.random.stateless_uniform((), seed=mirror_seed) < 0.5
    image = tf.cond(mirror, lambda: tf.reverse(image, [1]), lambda: image)
    return kind, normalize(image)


def preprocess_for_evaluation(encoded, image_size):
    """The central square of an encoded image, resized and normalized.

    Its side is `CENTRAL_FRACTION` of the shorter side of the image.

    Args:
        encoded: String tensor, the file.
        image_size: Integer, height and width of the result.

    Returns:
        Tuple as from `preprocess_for_training`.
    """
    kind, crop = decode_crop(encoded, _central_window)
    return kind, normalize(_resize(crop, image_size))


def preprocess_for_serving(image, image_size):
    """As `preprocess_for_evaluation`, of an image that is decoded already.

    Args:
        image: uint8 tensor of shape `(height, width, 3)`.
        image_size: Integer, height and width of the result.
    """
    window = _central_window(tf.shape(image))
    return normalize(_resize(_cut(image, window), image_size))


def random_window(shape, seed):
    """A random area of an image: 8 to 100 % of it, aspect 3:4 to 4:3.

    Args:
        shape: Integer tensor, height, width and channels.
        seed: Integer tensor of shape `(2,)`.

    Returns:
        Integer tensor: top, left, height, width.
    """
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT_RANGE,
        area_range=_AREA_RANGE,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], axis=0)


def decode_crop(encoded, choose_window):
    """Decodes a window of an image file as RGB, and of a JPEG no more than it.

    Args:
        encoded: String tensor, the file: JPEG (RGB, grey or CMYK), PNG, GIF or
            BMP.
        choose_window: Function from the shape `(height, width, channels)` to
            the window: top, left, height, width.

    Returns:
        Tuple of the kind of image and the window, uint8 `(height, width, 3)`.

    Raises:
        InvalidArgumentError: in a graph, if the image cannot be decoded whole.
    """

    def decode_window():
        shape = tf.image.extract_jpeg_shape(encoded)
        window = choose_window(shape)
        crop = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
        return _kind(shape[2]), crop

    def decode_all():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape((None, None, 3))
        kind = tf.cond(
            tf.io.is_jpeg(encoded),
            lambda: _kind(tf.image.extract_jpeg_shape(encoded)[2]),
            lambda: tf.constant(_OTHER_FORMAT),
        )
        return kind, _cut(image, choose_window(tf.shape(image)))

    # The end of a file that was cut off may lie below the window: such files
    # are decoded whole, so that they are always found out.
    is_whole_jpeg = tf.logical_and(
        tf.io.is_jpeg(encoded),
        tf.strings.substr(encoded, -2, 2) == _END_OF_JPEG,
    )
    return tf.cond(is_whole_jpeg, decode_window, decode_all)


def normalize(image):
    """From [0, 255] to mean 0 and standard deviation 1 on ImageNet.

    Args:
        image: Float tensor of shape `(height, width, 3)`.
    """
    # As rows of width x 3 numbers: a broadcast along three is slow.
    height, width, channels = image.shape
    scale = np.tile(1 / np.array(STANDARD_DEVIATION, "float32"), width)
    offset = np.tile(np.array(MEAN, "float32"), width)
    rows = tf.reshape(image, (height, width * channels))
    return tf.reshape((rows - offset) * scale, image.shape)


def count_images(source, subset):
    """Decodes a subset once and counts its images by kind.

    Args:
        source: `FolderSource` or `TfdsSource`.
        subset: String, one of `SUBSETS`.

    Returns:
        Dictionary of integers, as of `ImageCounts.numbers`.
    """
    counts = ImageCounts()
    for _ in evaluation_dataset(source, 32, 64, subset, counts=counts):
        pass
    return counts.numbers()


def undecodable_files(source, subset):
    """Yields the paths of the images that cannot be decoded.

    Args:
        source: `FolderSource`.
        subset: String, one of `SUBSETS`.
    """
    for path in source.files(subset):
        try:
            decode_crop(tf.io.read_file(path), _central_window)
        except tf.errors.InvalidArgumentError:
            yield path


_AUTOTUNE = tf.data.AUTOTUNE
_OTHER_FORMAT = ImageCounts.KINDS.index("other_format")
_FILLING = -1


def _decode(examples, preprocess):
    """Number, kind, image and class of each example that can be decoded."""

    def decode(index, example):
        item, label = example
        kind, image = preprocess(item, index)
        return index, kind, image, tf.cast(label, tf.int64)

    return (
        examples.enumerate()
        .map(decode, num_parallel_calls=_AUTOTUNE, deterministic=True)
        .ignore_errors()
    )


def _count_and_batch(decoded, source, batch_size, counts):
    """Batches of images, one-hot labels and weights.

    Where a number is missing, an image could not be decoded.
    """
    counts = counts or ImageCounts()

    def count(following, batch):
        indices, kinds, images, labels = batch
        undecodable = indices[-1] + 1 - following - batch_size
        tf.debugging.assert_less(
            undecodable,
            tf.constant(_TOO_MANY_UNDECODABLE, tf.int64),
            "Almost all images must be there and be decodable. Received: a "
            f"batch before which {_TOO_MANY_UNDECODABLE} or more are not. Are "
            "the files still there?",
        )
        counts.add(kinds, undecodable)
        return indices[-1] + 1, (
            images,
            tf.one_hot(labels, len(source.labels)),
            tf.cast(kinds != _FILLING, tf.float32),
        )

    return decoded.batch(
        batch_size, drop_remainder=True, num_parallel_calls=_AUTOTUNE
    ).scan(tf.constant(0, tf.int64), count)


def _kind(channels):
    """Position in `ImageCounts.KINDS` of a JPEG with so many channels."""
    return tf.gather(tf.constant([0, 1, 0, 0, 2]), channels)


def _central_window(shape):
    height, width = shape[0], shape[1]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.cast(tf.round(CENTRAL_FRACTION * shorter), tf.int32)
    side = tf.maximum(side, 1)
    return tf.stack([(height - side) // 2, (width - side) // 2, side, side])


def _cut(image, window):
    top, left, height, width = tf.unstack(window)
    return image[top : top + height, left : left + width]


def _resize(crop, image_size):
    # From bytes: a cast to float before it would take as long as the resizing.
    return tf.ensure_shape(
        tf.image.resize(crop, (image_size, image_size)),
        (image_size, image_size, 3),
    )


def _first_folder(folder, names):
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    return None


def _list_images(folder):
    """Names of the class folders, paths and classes of the images."""
    found = {}
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
        images = sorted(
            itertools.chain.from_iterable(map(class_folder.glob, _FILE_NAMES))
        )
        if images:
            found[class_folder.name] = images
    if len(found) < 2:
        raise ValueError(
            "A data folder must have a folder of images for each class, as "
            "<folder>/train/<class>/*.jpg and <folder>/val/<class>/*.jpg. "
            f"Received: {folder}, which has {len(found)} folders with images"
        )
    paths = [str(path).encode() for images in found.values() for path in images]
    labels = np.repeat(np.arange(len(found)), list(map(len, found.values())))
    return list(found), np.array(paths, object), labels.astype("int64")


def _spread(part, limit):
    """At most `limit` examples, evenly from the whole list."""
    count = len(part[0])
    if limit is None or limit >= count:
        return part
    chosen = np.arange(limit) * count // limit
    return tuple(array[chosen] for array in part)


def _prepare(builder, allowed):
    """Prepares a data set from raw files that were put in place by hand."""
    if builder.is_prepared():
        return
    manual = pathlib.Path(builder._data_dir_root) / "downloads/manual"
    if manual.is_dir() and any(manual.iterdir()):
        if not allowed:
            raise ValueError(
                f"{builder.name} must be prepared before several processes "
                f"share it. Received: raw files in {manual}. Start the script "
                "with one process first"
            )
        builder.download_and_prepare()
        return
    raise ValueError(
        f"{builder.name} must be prepared, or its raw files must be in "
        f"{manual}. Received: neither"
    )
