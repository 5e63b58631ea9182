"""Decodes windows of image files, and skips damaged files."""

import contextlib

import tensorflow as tf

_AREA_RANGE = (0.08, 1.0)
_ASPECT_RANGE = (3 / 4, 4 / 3)
_END_OF_JPEG = b"\xff\xd9"
# This many damaged files in a row are no coincidence: the disk is gone.
_TOO_MANY_IN_A_ROW = 1000
_TOO_MANY = (
    "Could not decode too many images in a row. Are the files still there?"
)
# Number of examples that are decoded one after the other. Groups are decoded in
# parallel.
_GROUP = 8
# Bits per pixel of BMP files with a palette.
_PALETTE_BITS = (b"\x01", b"\x04", b"\x08")


def decode_window(encoded, choose_window):
    """Decodes a window of an image file as RGB.

    Of a JPEG file, only the window is decoded.

    Args:
        encoded: String tensor, the content of a JPEG (RGB, grayscale or CMYK),
            PNG, GIF, WebP or BMP file.
        choose_window: Function that maps the shape `(height, width, channels)`
            to the window: top, left, height, width.

    Returns:
        uint8 tensor of shape `(height, width, 3)`, the window.

    Raises:
        InvalidArgumentError: inside a graph, if the image is damaged, or if it
            is a BMP file with a palette, which TensorFlow would ignore.
    """

    def decode_part():
        window = choose_window(tf.image.extract_jpeg_shape(encoded))
        return tf.image.decode_and_crop_jpeg(encoded, window, channels=3)

    def decode_all():
        tf.debugging.assert_equal(_is_bmp_with_palette(encoded), False)
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


def _is_bmp_with_palette(encoded):
    bits = tf.strings.substr(encoded, 28, 1)
    has_palette = tf.reduce_any(bits == tf.constant(_PALETTE_BITS))
    return tf.logical_and(
        tf.strings.substr(encoded, 0, 2) == b"BM", has_palette
    )


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
    nothing = _zeros(examples.enumerate().map(decode).element_spec)

    def decode_group(numbers, group):
        """Yields the results that can be decoded, then the end of the group."""

        def decode_one(number, example):
            return number, True, decode(number, example)

        decoded = tf.data.Dataset.from_tensor_slices((numbers, group))
        end = tf.data.Dataset.from_tensors((numbers[-1] + 1, False, nothing))
        return decoded.map(decode_one).ignore_errors().concatenate(end)

    def count_skipped(state, element):
        expected, in_a_row = state
        number, is_example, decoded = element
        missing = number - expected
        in_a_row += missing
        tf.debugging.assert_less(
            in_a_row, tf.constant(limit, tf.int64), _TOO_MANY
        )
        skipped.assign_add(missing)
        one = tf.cast(is_example, tf.int64)
        return (number + one, in_a_row * (1 - one)), (is_example, decoded)

    zero = tf.constant(0, tf.int64)
    return (
        examples.enumerate()
        .batch(_GROUP)
        .interleave(
            decode_group,
            block_length=_GROUP + 1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .scan((zero, zero), count_skipped)
        .filter(lambda is_example, decoded: is_example)
        .map(lambda is_example, decoded: decoded)
    )


@contextlib.contextmanager
def plain_errors():
    """Context manager: turns errors of `decodable` into a short `ValueError`.

    TensorFlow buries the same message in a page of other text.

    Raises:
        ValueError: if too many images in a row cannot be decoded.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _TOO_MANY not in error.message:
            raise
        raise ValueError(_TOO_MANY) from error


def _zeros(specs):
    return tf.nest.map_structure(
        lambda spec: tf.zeros(spec.shape, spec.dtype), specs
    )
