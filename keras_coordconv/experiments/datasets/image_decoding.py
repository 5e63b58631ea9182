"""From image files to windows of them, and how damaged files are left out."""

import contextlib
import re

import tensorflow as tf

_AREA_RANGE = (0.08, 1.0)
_ASPECT_RANGE = (3 / 4, 4 / 3)
_END_OF_JPEG = b"\xff\xd9"
# More files in a row than this are not damaged by chance: their disk is gone.
_TOO_MANY_IN_A_ROW = 1000
_RULE = "Images must be there and be decodable."


def decode_window(encoded, choose_window):
    """Decodes a window of an image file as RGB, and of a JPEG no more than it.

    Args:
        encoded: String tensor, the file: JPEG (RGB, grey or CMYK), PNG, GIF or
            BMP.
        choose_window: Function from the shape `(height, width, channels)` to
            the window: top, left, height, width.

    Returns:
        The window, uint8 of shape `(height, width, 3)`.

    Raises:
        InvalidArgumentError: in a graph, if the image cannot be decoded whole.
    """

    def decode_part():
        window = choose_window(tf.image.extract_jpeg_shape(encoded))
        return tf.image.decode_and_crop_jpeg(encoded, window, channels=3)

    def decode_all():
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape((None, None, 3))
        return cut(image, choose_window(tf.shape(image)))

    # Decoding a part does not notice that a file ends below that part. A JPEG
    # without an end is decoded whole, which fails.
    has_end = tf.logical_and(
        tf.io.is_jpeg(encoded),
        tf.strings.substr(encoded, -2, 2) == _END_OF_JPEG,
    )
    return tf.cond(has_end, decode_part, decode_all)


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


def central_window(shape, fraction):
    """The square in the middle of an image.

    Args:
        shape: Integer tensor, height, width and channels.
        fraction: Float, the side of the square, as a part of the image's
            shorter side.

    Returns:
        Integer tensor: top, left, height, width.
    """
    height, width = shape[0], shape[1]
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    side = tf.maximum(tf.cast(tf.round(fraction * shorter), tf.int32), 1)
    return tf.stack([(height - side) // 2, (width - side) // 2, side, side])


def cut(image, window):
    """The window of an image that is decoded already."""
    top, left, height, width = tf.unstack(window)
    return image[top : top + height, left : left + width]


def new_count():
    """An integer `tf.Variable` to count images in, 0 at first."""
    with tf.device("CPU"):
        return tf.Variable(0, dtype=tf.int64, trainable=False)


def decodable(examples, decode, count, skipped=None):
    """Decodes examples; those that cannot be decoded are left out.

    Args:
        examples: `tf.data.Dataset`, finite or not.
        decode: Function from the number of an example and the example to
            tensors. It may fail.
        count: Integer, the number of examples in one pass.
        skipped: Integer `tf.Variable`, to which the number of those left out
            is added.

    Returns:
        `tf.data.Dataset` of what `decode` returns, in the order of `examples`.
        It raises `InvalidArgumentError` where none of `count` examples in a
        row, or of 1000, can be decoded; see `plain_errors`.
    """
    skipped = new_count() if skipped is None else skipped
    limit = max(1, min(count, _TOO_MANY_IN_A_ROW))
    decoded_spec = examples.enumerate().map(decode).element_spec

    # What fails is dropped without a word. So that it is noticed even where
    # everything fails, a mark that cannot fail follows each `limit` examples,
    # and the last one.
    mark = tf.data.Dataset.from_tensors(_zeros(examples.element_spec))
    # Repeated constants: a function for each position would be slow.
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
            f"{_RULE} Received: {limit} in a row that are not. Are the files "
            "still there?",
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
    """Within it, the error of a data set of `decodable` is a `ValueError`.

    What TensorFlow raises has the same message among a page of other text.

    Raises:
        ValueError: if no image could be decoded.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(f"{_RULE}[^?]*[?]", error.message)
        if not found:
            raise
        raise ValueError(found[0]) from error


def _zeros(specs):
    return tf.nest.map_structure(
        lambda spec: tf.zeros(spec.shape, spec.dtype), specs
    )
