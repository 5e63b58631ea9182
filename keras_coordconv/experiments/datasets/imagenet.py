"""Input pipeline for image classification at the scale of ImageNet.

    source = image_sources.open_source("imagenet2012", data_dir)
    train_dataset(source, image_size, batch_size)  # random crops, indefinitely
    evaluation_dataset(source, image_size, batch_size)  # central crops, once

Images stay encoded until a single step reads a file, decodes only the crop, and
resizes it.
"""

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments.datasets import image_decoding

# RGB statistics of ImageNet's training images, for values from 0 to 255.
MEAN = (123.675, 116.28, 103.53)
STANDARD_DEVIATION = (58.395, 57.12, 57.375)
# Side of the central crop for evaluation, as a fraction of the shorter side.
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
    """Batches random crops of the training images indefinitely.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, number of images per batch of this process.
        seed: Integer, seed of the order and of the crops.
        shards: Integer, number of processes that share the images.
        shard: Integer, index of this process.
        start: Integer, number of images to skip, counted over all processes:
            those that a resumed run has used, without the skipped ones.
        skipped: Integer `tf.Variable` that counts the images that are skipped
            because they cannot be decoded.

    Returns:
        `tf.data.Dataset` of images, float32 of shape `(batch_size, image_size,
        image_size, 3)`, and one-hot labels, float32. It raises
        `InvalidArgumentError` if no image can be decoded.
    """

    def decode(index, example):
        item, label = example
        # The crops do not depend on the number of processes and the start.
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
    """Batches the central crop of each image, once.

    All batches are full, and all processes get the same number of them, so any
    number of devices can share them. Black images of weight 0 fill up the last
    batches and replace skipped images.

    Args:
        source: `FolderSource` or `TfdsSource`.
        image_size: Integer, height and width of the crops.
        batch_size: Integer, number of images per batch of this process.
        subset: String, `"train"` or `"validation"`.
        shards: Integer, number of processes that share the images.
        shard: Integer, index of this process.
        skipped: See `train_dataset`.

    Returns:
        `tf.data.Dataset` of images and one-hot labels, as in `train_dataset`,
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
    """Randomly crops an encoded image, resizes, mirrors and normalizes it.

    On average, half of the crops are mirrored.

    Args:
        encoded: String tensor, the content of the file.
        image_size: Integer, height and width of the result.
        seed: Integer tensor of shape `(2,)`.

    Returns:
        Float32 tensor of shape `(image_size, image_size, 3)`.
    """
    window = image_decoding.decode_window(
        encoded, lambda shape: image_decoding.random_window(shape, seed)
    )
    image = _resize(window, image_size)
    # With the seed of the crop, mirroring would depend on its aspect ratio.
    mirror_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    mirror = tf.random.stateless_uniform((), seed=mirror_seed) < 0.5
    image = tf.cond(mirror, lambda: tf.reverse(image, [1]), lambda: image)
    return normalize(image)


def preprocess_for_evaluation(encoded, image_size):
    """Crops an encoded image to its central square, resizes and normalizes it.

    The side of the square is `CENTRAL_FRACTION` of the image's shorter side.

    Args:
        encoded: String tensor, the content of the file.
        image_size: Integer, height and width of the result.

    Returns:
        Float32 tensor of shape `(image_size, image_size, 3)`.
    """
    window = image_decoding.decode_window(encoded, _central_window)
    return normalize(_resize(window, image_size))


def preprocess_for_serving(image, image_size):
    """Preprocesses a decoded image as `preprocess_for_evaluation` does.

    Args:
        image: uint8 tensor of shape `(height, width, 3)`.
        image_size: Integer, height and width of the result.

    Returns:
        Float32 tensor of shape `(image_size, image_size, 3)`.
    """
    window = _central_window(tf.shape(image))
    return normalize(_resize(image_decoding.cut(image, window), image_size))


def normalize(image):
    """Normalizes an image with the mean and standard deviation of ImageNet.

    Args:
        image: Float tensor of shape `(height, width, 3)`, from 0 to 255.

    Returns:
        Float tensor of the same shape.
    """
    # As rows of width x 3 numbers: broadcasting over an axis of 3 is slow.
    height, width, channels = image.shape
    scale = np.tile(1 / np.array(STANDARD_DEVIATION, "float32"), width)
    offset = np.tile(np.array(MEAN, "float32"), width)
    rows = tf.reshape(image, (height, width * channels))
    return tf.reshape((rows - offset) * scale, image.shape)


def count_undecodable(source, subset):
    """Counts the images of a subset that cannot be decoded.

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


def _central_window(shape):
    return image_decoding.central_window(shape, CENTRAL_FRACTION)


def _resize(window, image_size):
    # A cast to float before the resizing would take as long as the resizing.
    return tf.ensure_shape(
        tf.image.resize(window, (image_size, image_size)),
        (image_size, image_size, 3),
    )
