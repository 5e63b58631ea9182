"""Image classification at the scale of ImageNet: from files to batches.

    source = image_sources.open_source("imagenet2012", data_dir)
    train_dataset(source, image_size, batch_size)    # random crops, for ever
    evaluation_dataset(source, image_size, batch_size)    # central crops, once

Images stay encoded until the one step that reads them, decodes no more than the
crop, and resizes it.
"""

import os

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments.datasets import image_decoding

# Of ImageNet's training images, red, green and blue, on the scale 0 to 255.
MEAN = (123.675, 116.28, 103.53)
STANDARD_DEVIATION = (58.395, 57.12, 57.375)
# The central crop of evaluation, as a part of the shorter side.
CENTRAL_FRACTION = 0.875

_AUTOTUNE = tf.data.AUTOTUNE


def train_dataset(
    source,
    image_size,
    batch_size,
    seed=0,
    shards=1,
    shard=0,
    start=0,
    skipped=None,
):
    """Batches of random crops, for ever.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, images of this process in a batch.
        seed: Integer, of the order and of the crops.
        shards: Integer, how many processes share the images.
        shard: Integer, which of them this one is.
        start: Integer, how many images, of all processes, to skip: those that a
            resumed run has seen, apart from images that were left out.
        skipped: Integer `tf.Variable` that counts the images left out because
            they cannot be decoded.

    Returns:
        `tf.data.Dataset` of images, float32 of shape `(batch_size, image_size,
        image_size, 3)`, and one-hot labels, float32. It raises
        `InvalidArgumentError` where no image can be decoded.
    """

    def decode(index, example):
        item, label = example
        # The same crops, however many processes share the images, and
        # wherever they start.
        position = start + index * shards + shard
        crop_seed = tf.stack([tf.cast(seed, tf.int64), position])
        image = preprocess_for_training(
            source.read(item), image_size, crop_seed
        )
        return image, label

    def encode_label(images, labels):
        return images, tf.one_hot(labels, len(source.labels))

    examples = source.examples("train", seed, shards, shard, start)
    return (
        image_decoding.decodable(
            examples, decode, source.count("train"), skipped
        )
        .batch(batch_size, drop_remainder=True, num_parallel_calls=_AUTOTUNE)
        .map(encode_label)
        .prefetch(_AUTOTUNE)
    )


def evaluation_dataset(
    source,
    image_size,
    batch_size,
    subset="validation",
    shards=1,
    shard=0,
    skipped=None,
):
    """Batches of the central crop of each image, once.

    All batches are full, and each process has as many, so that any number of
    devices can share them: black images of weight 0 stand in for those that are
    missing in the last batch or were left out.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, images of this process in a batch.
        subset: String, `"train"` or `"validation"`.
        shards: Integer, how many processes share the images.
        shard: Integer, which of them this one is.
        skipped: As for `train_dataset`.

    Returns:
        `tf.data.Dataset` of images and one-hot labels as from `train_dataset`,
        and weights, float32 of shape `(batch_size,)`.
    """
    total = source.count(subset)
    own = len(range(shard, total, shards))
    batches = -(-total // (batch_size * shards))

    def decode(index, example):
        del index
        item, label = example
        image = preprocess_for_evaluation(source.read(item), image_size)
        return image, label, tf.constant(1.0)

    def encode_label(images, labels, weights):
        return images, tf.one_hot(labels, len(source.labels)), weights

    black = tf.zeros((image_size, image_size, 3))
    filling = (black, tf.constant(0, tf.int64), tf.constant(0.0))
    examples = source.examples(subset, None, shards, shard)
    return (
        image_decoding.decodable(examples, decode, own, skipped)
        .concatenate(tf.data.Dataset.from_tensors(filling).repeat())
        .take(batches * batch_size)
        .batch(batch_size, drop_remainder=True, num_parallel_calls=_AUTOTUNE)
        .map(encode_label)
        .apply(tf.data.experimental.assert_cardinality(batches))
        .prefetch(_AUTOTUNE)
    )


def preprocess_for_training(encoded, image_size, seed):
    """A random area of an encoded image: resized, perhaps mirrored, normalized.

    Args:
        encoded: String tensor, the file.
        image_size: Integer, height and width of the result.
        seed: Integer tensor of shape `(2,)`.

    Returns:
        Float32 tensor of shape `(image_size, image_size, 3)`.
    """
    window = image_decoding.decode_window(
        encoded, lambda shape: image_decoding.random_window(shape, seed)
    )
    image = _resize(window, image_size)
    # A seed of its own: from the same, the crop's aspect has the same number.
    mirror_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    mirror = tf.random.stateless_uniform((), seed=mirror_seed) < 0.5
    image = tf.cond(mirror, lambda: tf.reverse(image, [1]), lambda: image)
    return normalize(image)


def preprocess_for_evaluation(encoded, image_size):
    """The central square of an encoded image, resized and normalized.

    Its side is `CENTRAL_FRACTION` of the shorter side of the image.

    Args:
        encoded: String tensor, the file.
        image_size: Integer, height and width of the result.

    Returns:
        Float32 tensor of shape `(image_size, image_size, 3)`.
    """
    window = image_decoding.decode_window(encoded, _central_window)
    return normalize(_resize(window, image_size))


def preprocess_for_serving(image, image_size):
    """As `preprocess_for_evaluation`, of an image that is decoded already.

    Args:
        image: uint8 tensor of shape `(height, width, 3)`.
        image_size: Integer, height and width of the result.
    """
    window = _central_window(tf.shape(image))
    return normalize(_resize(image_decoding.cut(image, window), image_size))


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


def count_undecodable(source, subset):
    """Reads a subset once and counts the images that cannot be decoded.

    Args:
        source: `FolderSource` or `TfdsSource`.
        subset: String, `"train"` or `"validation"`.

    Returns:
        Integer.
    """
    skipped = image_decoding.new_count()
    for _ in evaluation_dataset(source, 32, 64, subset, skipped=skipped):
        pass
    return int(skipped.numpy())


def undecodable_files(source, subset):
    """Yields the paths of the images that cannot be read or decoded.

    Args:
        source: `FolderSource`.
        subset: String, `"train"` or `"validation"`.
    """
    for path in source.files(subset):
        try:
            encoded = tf.io.read_file(os.fsencode(path))
            image_decoding.decode_window(encoded, _central_window)
        except tf.errors.OpError:
            yield path


def _central_window(shape):
    return image_decoding.central_window(shape, CENTRAL_FRACTION)


def _resize(window, image_size):
    # From bytes: a cast to float before it would take as long as the resizing.
    return tf.ensure_shape(
        tf.image.resize(window, (image_size, image_size)),
        (image_size, image_size, 3),
    )
