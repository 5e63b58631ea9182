"""Decodes windows of image files, and skips damaged files."""

import contextlib
import re

import tensorflow as tf

_AREA_RANGE = (0.08, 1.0)
_ASPECT_RANGE = (3 / 4, 4 / 3)
_END_OF_JPEG = b"\xff\xd9"
# This many damaged files in a row are no coincidence: their disk is gone.
_TOO_MANY_IN_A_ROW = 1000


def decode_window(encoded, choose_window):
    """Decodes a window of an image file as RGB.

    Of a JPEG file, only the window is decoded.

    Args:
        encoded: String tensor, the content of a JPEG (RGB, grayscale or CMYK),
            PNG, GIF or BMP file.
        choose_window: Function that maps the shape `(height, width, channels)`
            to the window: top, left, height, width.

    Returns:
        uint8 tensor of shape `(height, width, 3)`, the window.

    Raises:
        InvalidArgumentError: inside a graph, if the image is damaged.
    """

    def decode_part():
        window = choose_window(tf.image.extract_jpeg_shape(encoded))
        return tf.image.decode_and_crop_jpeg(encoded, window, channels=3)

    def decode_all():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape((None, None, 3))
        return cut(image, choose_window(tf.shape(image)))

    # Decoding a window does not detect that the file is cut off below it. A
    # JPEG file without an end marker is decoded as a whole, which fails.
    has_end = tf.logical_and(
        tf.io.is_jpeg(encoded),
        tf.strings.substr(encoded, -2, 2) == _END_OF_JPEG,
    )
    return tf.cond(has_end, decode_part, decode_all)


def random_window(shape, seed):
    """Draws a random window: 8 to 100% of the image, aspect ratio 3:4 to 4:3.

    Args:
        shape: Integer tensor: height, width and channels of the image.
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


def central_window(shape, fraction):
    """Computes the central square of an image.

    Args:
        shape: Integer tensor: height, width and channels of the image.
        fraction: Float, side of the square as a fraction of the image's
            shorter side.

    Returns:
        Integer tensor: top, left, height, width.
    """
    height, width = shape[0], shape[1]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(tf.round(fraction * shorter), tf.int32), 1)
    return tf.stack([(height - side) // 2, (width - side) // 2, side, side])


def cut(image, window):
    """Cuts a window out of a decoded image."""
    top, left, height, width = tf.unstack(window)
    return image[top : top + height, left : left + width]


def new_count():
    """Creates an integer `tf.Variable` that counts images, starting at 0."""
    with tf.device("CPU"):
        return tf.Variable(0, dtype=tf.int64, trainable=False)


def decodable(examples, decode, count, skipped=None):
    """Decodes examples and skips those that cannot be decoded.

    Args:
        examples: `tf.data.Dataset`, finite or infinite.
        decode: Function that maps the index of an example and the example to
            tensors. It may fail.
        count: Integer, number of examples per epoch.
        skipped: Integer `tf.Variable`, to which the number of skipped examples
            is added.

    Returns:
        `tf.data.Dataset` of the results of `decode`, in the order of
        `examples`. It raises `InvalidArgumentError` if `count` examples in a
        row, or 1000, cannot be decoded; see `plain_errors`.
    """
    skipped = new_count() if skipped is None else skipped
    limit = max(1, min(count, _TOO_MANY_IN_A_ROW))
    decoded_spec = examples.enumerate().map(decode).element_spec

    # `ignore_errors` drops failures silently. To notice them even if everything
    # fails, a mark that cannot fail follows every `limit` examples, and the
    # last one.
    mark = tf.data.Dataset.from_tensors(_zeros(examples.element_spec))
    # Repeated constants: calling a function per position would be slow.
    of_each = tf.range(limit + 1, dtype=tf.int64) // limit
    source, is_mark = (
        tf.data.Dataset.from_tensor_slices(x).repeat()
        for x in (of_each, of_each == 1)
    )
    marked = tf.data.Dataset.zip(
        tf.data.Dataset.choose_from_datasets([examples, mark.repeat()], source),
        is_mark,
    ).concatenate(tf.data.Dataset.zip(mark, tf.data.Dataset.from_tensors(True)))

    def attempt(position, element):
        example, is_mark = element
        number = position - position // (limit + 1)
        decoded = tf.cond(
            is_mark,
            lambda: _zeros(decoded_spec),
            lambda: decode(number, example),
        )
        return number, ~is_mark, decoded

    def count_missing(state, element):
        following, in_a_row = state
        number, is_example, decoded = element
        missing = number - following
        in_a_row += missing
        tf.debugging.assert_less(
            in_a_row,
            tf.constant(limit, tf.int64),
            f"Could not decode {limit} images in a row. Are the files still "
            "there?",
        )
        skipped.assign_add(missing)
        one = tf.cast(is_example, tf.int64)
        return (number + one, in_a_row * (1 - one)), (is_example, decoded)

    zero = tf.constant(0, tf.int64)
    return (
        marked.enumerate()
        .map(attempt, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .ignore_errors()
        .scan((zero, zero), count_missing)
        .filter(lambda is_example, decoded: is_example)
        .map(lambda is_example, decoded: decoded)
    )


@contextlib.contextmanager
def plain_errors():
    """Context manager: turns errors of `decodable` into a short `ValueError`.

    TensorFlow buries the same message in a page of other text.

    Raises:
        ValueError: if no image could be decoded.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"Could not decode \d+ images[^?]*\?", error.message)
        if not found:
            raise
        raise ValueError(found[0]) from error


def _zeros(specs):
    return tf.nest.map_structure(
        lambda spec: tf.zeros(spec.shape, spec.dtype), specs
    )
