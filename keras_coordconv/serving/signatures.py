"""Signatures: named inputs and outputs of a served model."""

import dataclasses
import keyword
import pathlib
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from keras_coordconv.serving.client.tensors import signature_table

TOP = 5
# Name of the input or output with encoded images.
IMAGES = "image_bytes"
# Name of the output that flags those that could be decoded.
IS_IMAGE = "is_image"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One set of inputs that a served model accepts.

    Args:
        inputs: Dictionary of `tf.TensorSpec` by name. The first axis of each is
            the batch, of size `None`.
        to_model_inputs: Callable that maps a dictionary of these tensors to a
            dictionary of the model's inputs by name. Other entries become
            outputs.
        examples: Callable that takes a batch size and a NumPy random generator,
            or `None` for constant examples, and returns a dictionary of arrays
            with the names, shapes and dtypes of `inputs`.
    """

    inputs: dict
    to_model_inputs: Callable
    examples: Callable


def read_signatures(folder):
    """Read the signatures of a SavedModel.

    Args:
        folder: String or path of the SavedModel.

    Returns:
        Dictionary in the form of `signature_table`.

    Raises:
        ValueError: if the folder does not contain a SavedModel.
    """
    file = pathlib.Path(folder) / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        graph = saved.meta_graphs[0]
    except (OSError, message.DecodeError, IndexError) as error:
        reason = getattr(error, "strerror", "not a SavedModel")
        raise ValueError(
            f"Could not read the SavedModel. Received: {file} ({reason})"
        ) from error
    return signature_table(
        {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True
            )
            for name, definition in graph.signature_def.items()
        }
    )


def constant_requests(folder):
    """Make a request with one constant example for each signature.

    Args:
        folder: String or path of the SavedModel.

    Returns:
        List of pairs `(signature, inputs)`: the name of a signature and a
        dictionary of arrays by input name.
    """
    requests = []
    tables = read_signatures(folder)
    # Images have the size that the model takes, if that is known.
    model_inputs = tables.get("tensor", {"inputs": {}})["inputs"].values()
    shape = [8, 8, 3]
    for spec in model_inputs:
        if spec["shape"] and len(spec["shape"]) == 4:
            shape = [size or 8 for size in spec["shape"][1:]]
    for name, table in tables.items():
        arrays = {}
        for key, spec in table["inputs"].items():
            spec = tf.TensorSpec(spec["shape"], spec["dtype"])
            if spec.shape.rank is None:
                spec = tf.TensorSpec((None,), spec.dtype)
            arrays[key] = _example(spec, 1, None)
            if key == IMAGES:
                arrays[key][:] = _png(np.full(shape, 128, "uint8"))
        requests.append((name, arrays))
    return requests


def input_names(model):
    """Return the names of the inputs, in the order of `model.inputs`.

    They are the keys, if the model was built with a dictionary of inputs, and
    the names of the input layers otherwise.

    Raises:
        ValueError: if the model is not a built Functional or Sequential model,
            if two names are equal, or if a name is not valid in TensorFlow.
    """
    if not (isinstance(model, keras.Model) and getattr(model, "inputs", None)):
        raise ValueError(
            "The model must be a built Functional or Sequential `keras.Model`. "
            f"Received: {model!r}"
        )
    names = [tensor.name for tensor in model.inputs]
    if not isinstance(model, keras.Sequential):
        names = _names(model.input, names)
    check_input_names(names)
    return names


def output_names(model):
    """Return the names of the outputs, in flattened order.

    They are the keys, if the model was built with a dictionary of outputs, and
    the names of the output layers otherwise.

    Raises:
        ValueError: if two names are equal.
    """
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    names = _names(model.output, model.output_names)
    if len(set(names)) < len(names):
        raise ValueError(
            "The output names of a served model must be unique. "
            f"Received: {names}. Rename them with `outputs`."
        )
    return names


def check_input_names(names):
    for name in names:
        # TensorFlow renames some other names and fails for the rest.
        if (
            not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", f"{name}")
            or keyword.iskeyword(name)
            or name == "self"
            or names.count(name) > 1
        ):
            raise ValueError(
                "The input names of a served model must be unique, consist of "
                "letters, digits and underscores, start with a letter, and not "
                f"be `self` or Python keywords. Received: {name!r}"
            )


def tensor_signature(model):
    """Make the signature that takes the model's own inputs by name."""
    specs = {
        name: tf.TensorSpec(
            (None, *tensor.shape[1:]),
            keras.backend.standardize_dtype(tensor.dtype),
            name=name,
        )
        for name, tensor in zip(input_names(model), model.inputs, strict=True)
    }

    def examples(batch_size, random=None):
        return {
            name: _example(spec, batch_size, random)
            for name, spec in specs.items()
        }

    return Signature(specs, lambda tensors: tensors, examples)


def encoded_image_signature(
    model: keras.Model,
    preprocess: Callable[[Any], Any] | None = None,
    size: tuple[int, int] | None = None,
    *,
    value_range: tuple[float, float] | None = None,
    flag_damaged: bool = False,
) -> Signature:
    """Make a signature that decodes JPEG or PNG files in the graph.

    Its only input, `image_bytes`, is a batch of files with images of any size.
    If a file cannot be decoded, the whole request fails, and if the server
    batches requests, so do all requests in the batch; see `flag_damaged`.

    Args:
        model: `keras.Model` with one image as its input.
        preprocess: Callable that maps one decoded image, uint8 of shape
            `(height, width, channels)` and any size, to the float image the
            model takes. Without it, `value_range` is required.
        size: Pair of integers, height and width of the preprocessed image.
            Defaults to the model's input size.
        value_range: Pair of floats, the values of black and white in the images
            the model was trained on, such as `(0, 1)`. Images are then resized
            and scaled to this range. Use `(0, 255)` for a model that scales
            pixels itself, for example with `Rescaling(1 / 255)`.
        flag_damaged: Boolean, whether to flag such files instead: the
            additional output `is_image` is false for files that cannot be
            decoded, and their other outputs are computed from zeros. Decoding
            then takes up to twice as long.

    Returns:
        `Signature`.

    Raises:
        ValueError: if the model does not have exactly one input of rank 4 with
            1 or 3 channels in the last axis, if its height and width are
            unknown and `size` is not given, if neither or both of `preprocess`
            and `value_range` are given, if `value_range` is not a pair of
            increasing numbers, or if `preprocess` fails for another size.

    Example:

    >>> images = encoded_image_signature(model, value_range=(0, 1))
    >>> signatures = {"serving_default": images}
    >>> export_for_serving(model, "served/photos", signatures=signatures)
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if (
        len(shapes) != 1
        or len(shapes[0]) != 4
        or shapes[0][3] not in (1, 3)
        or keras.config.image_data_format() != "channels_last"
    ):
        raise ValueError(
            "Encoded images require a model with one input of shape (batch, "
            f"height, width, 1 or 3 channels). Received: {shapes}. Export the "
            "model without this signature, or write your own `Signature`."
        )
    shape = shapes[0]
    size = tuple(size or shape[1:3])
    if None in size:
        raise ValueError(
            "The height and width of the images are unknown. "
            f"Received: input shape {shape} and size={size}. Pass `size`."
        )
    (name,) = input_names(model)
    if (preprocess is None) == (value_range is None):
        raise ValueError(
            "Pass either `value_range`, the values of black and white in the "
            "images the model was trained on, such as (0, 1) or (0, 255), or "
            f"`preprocess`. Received: preprocess={preprocess!r}, "
            f"value_range={value_range!r}"
        )
    if preprocess is None:
        preprocess = _resize_and_scale(size, value_range)

    def decode(encoded):
        # TensorFlow would use the palette indices of BMP files as colors.
        tf.debugging.assert_none_equal(
            tf.strings.substr(encoded, 0, 2),
            b"BM",
            message="BMP is not supported",
        )
        image = tf.image.decode_image(
            encoded, channels=shape[3], expand_animations=False
        )
        image.set_shape((None, None, shape[3]))
        return tf.ensure_shape(tf.cast(preprocess(image), tf.float32), pixels)

    pixels = (*size, shape[3])
    larger = (size[0] + 9, 2 * size[1], shape[3])
    try:
        decode(_jpeg(np.zeros(larger, "uint8")))
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise ValueError(
            f"`preprocess` must return images of shape {pixels} for files of "
            f"any size. For an image of shape {larger}, it failed: {error}"
        ) from error

    def to_model_inputs(tensors):
        if flag_damaged:
            images, is_image = _decode_and_flag(tensors[IMAGES], decode, pixels)
            return {name: images, IS_IMAGE: is_image}
        images = tf.map_fn(
            decode,
            tensors[IMAGES],
            fn_output_signature=tf.TensorSpec(pixels, tf.float32),
        )
        return {name: images}

    def examples(batch_size, random=None):
        if random is None:
            files = [_png(np.full(pixels, 128, "uint8"))] * batch_size
        else:
            files = [
                _png(random.integers(0, 256, pixels, "uint8"))
                if number % 2
                else _jpeg(random.integers(0, 256, larger, "uint8"))
                for number in range(batch_size)
            ]
        return {IMAGES: np.array(files, object)}

    inputs = {IMAGES: tf.TensorSpec((None,), tf.string, IMAGES)}
    return Signature(inputs, to_model_inputs, examples)


def _resize_and_scale(size, value_range):
    try:
        black, white = map(float, value_range)
        good = -np.inf < black < white < np.inf
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "`value_range` must be a pair of increasing numbers, such as "
            f"(0, 1). Received: value_range={value_range!r}"
        )

    def preprocess(image):
        image = tf.image.resize(image, size, antialias=True)
        return image * ((white - black) / 255) + black

    return preprocess


def _decode_and_flag(files, decode, shape):
    """Decode files inside a graph; zeros replace those that fail.

    Only data sets can ignore errors inside a graph.

    Returns:
        Tuple of the images, of shape `(batch, *shape)`, and of booleans.
    """
    count = tf.size(files, tf.int64)
    decoded = (
        tf.data.Dataset.from_tensor_slices(files)
        .map(decode)
        .enumerate()
        .ignore_errors()
    )
    # An additional element, so that the data set is never empty.
    last = tf.data.Dataset.from_tensors((count, tf.zeros(shape)))
    numbers, images = (
        decoded.concatenate(last).batch(count + 1).get_single_element()
    )

    def scatter(values):
        size = tf.concat([[count + 1], tf.shape(values, tf.int64)[1:]], 0)
        return tf.scatter_nd(numbers[:, None], values, size)[:-1]

    images = tf.ensure_shape(scatter(images), (None, *shape))
    return images, scatter(tf.ones_like(numbers, tf.bool))


def with_labels(outputs, labels):
    """Add the most likely classes to the outputs.

    Args:
        outputs: Callable that maps the output of the model to a dictionary with
            `probabilities` of shape `(batch, classes)`.
        labels: Sequence of strings, one per class.

    Returns:
        Callable like `outputs` that adds `class_ids`, int32, and `labels`,
        strings, both of shape `(batch, min(5, classes))`, with the most likely
        class first.
    """
    labels = [str(label) for label in labels]

    def add_labels(results):
        answer = dict(outputs(results))
        probabilities = answer.get("probabilities")
        if probabilities is None or probabilities.shape[-1] != len(labels):
            shapes = {name: tuple(x.shape) for name, x in answer.items()}
            raise ValueError(
                "`labels` requires an output `probabilities` with one class "
                f"per label. Received: {len(labels)} labels and the outputs "
                f"{shapes}."
            )
        class_ids = tf.math.top_k(
            tf.cast(probabilities, tf.float32), min(TOP, len(labels))
        ).indices
        answer["class_ids"] = class_ids
        answer["labels"] = tf.gather(tf.constant(labels), class_ids)
        return answer

    return add_labels


def with_png(
    outputs: Callable[[Any], dict[str, Any]],
) -> Callable[[Any], dict[str, Any]]:
    """Add the output `image_bytes`, the images encoded as PNG files.

    Args:
        outputs: Callable that maps the output of the model to a dictionary with
            `image` of shape `(batch, height, width, 1 or 3)`, in [0, 1].

    Returns:
        Callable like `outputs` that adds `image_bytes`.
    """

    def add_png(results):
        answer = outputs(results)
        pixels = tf.saturate_cast(tf.round(255 * answer["image"]), tf.uint8)
        return {**answer, IMAGES: tf.io.encode_png(pixels)}

    return add_png


def _names(structure, names):
    """Return the dictionary keys in a structure, with `names` as fallback."""
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    return [
        next((key for key in path[::-1] if isinstance(key, str)), name)
        for path, name in zip(paths, names, strict=True)
    ]


def _png(image):
    return tf.io.encode_png(image).numpy()


def _jpeg(image):
    return tf.io.encode_jpeg(image).numpy()


def _example(spec, batch_size, random):
    # 32 is an arbitrary choice for unknown sizes.
    shape = [32 if axis is None else axis for axis in spec.shape[1:]]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype == tf.string:
        return np.full([batch_size, *shape], b"", object)
    if random is None or not spec.dtype.is_floating:
        return np.zeros([batch_size, *shape], dtype)
    return random.uniform(0, 1, [batch_size, *shape]).astype(dtype)
