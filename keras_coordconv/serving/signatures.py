"""Signatures: the inputs and outputs of a served model."""

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
# The input or output of encoded images.
IMAGES = "image_bytes"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way of asking a served model.

    Args:
        inputs: Dictionary of `tf.TensorSpec` by name, each with the batch as
            its first axis, of any size.
        to_model_inputs: Function from the dictionary of these tensors to the
            dictionary of the model's inputs by their names.
        examples: Function of a batch size and a `numpy` random generator, or
            `None` for constant ones, to a dictionary of arrays as `inputs`.
    """

    inputs: dict
    to_model_inputs: Callable
    examples: Callable


def read_signatures(folder):
    """The signatures of a SavedModel, as `signature_table` has them.

    Raises:
        ValueError: if there is no SavedModel in the folder.
    """
    file = pathlib.Path(folder) / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        graph = saved.meta_graphs[0]
    except (OSError, message.DecodeError, IndexError) as error:
        reason = getattr(error, "strerror", "not a SavedModel")
        raise ValueError(
            f"A version must be a SavedModel. Received: {file} ({reason})"
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
    """A request of one constant example for each signature of a SavedModel.

    Returns:
        List of pairs of a signature's name and a dictionary of arrays.
    """
    requests = []
    for name, table in read_signatures(folder).items():
        arrays = {}
        for key, spec in table["inputs"].items():
            spec = tf.TensorSpec(spec["shape"], spec["dtype"])
            if spec.shape.rank is None:
                spec = tf.TensorSpec((None,), spec.dtype)
            arrays[key] = _example(spec, 1, None)
            if key == IMAGES:
                arrays[key][:] = _png(np.full((8, 8, 3), 128, "uint8"))
        requests.append((name, arrays))
    return requests


def input_names(model):
    """Names of the inputs, in the order of `model.inputs`.

    They are the keys, where the model was built with a dictionary of inputs,
    and else the names of the input layers.

    Raises:
        ValueError: if two are the same, or TensorFlow cannot have one.
    """
    if not (isinstance(model, keras.Model) and getattr(model, "inputs", None)):
        raise ValueError(
            "A served model must be a Functional or Sequential keras.Model "
            f"that is built. Received: {model!r}"
        )
    names = [tensor.name for tensor in model.inputs]
    if not isinstance(model, keras.Sequential):
        names = _names(model.input, names)
    check_input_names(names)
    return names


def output_names(model):
    """Names of the outputs, as `input_names`; each in the flat order.

    Raises:
        ValueError: if two are the same.
    """
    if isinstance(model, keras.Sequential):
        return [model.layers[-1].name]
    names = _names(model.output, model.output_names)
    if len(set(names)) < len(names):
        raise ValueError(
            "The outputs of a served model must have different names. "
            f"Received: a model with the outputs {names}. "
            "Name them with `outputs`."
        )
    return names


def check_input_names(names):
    for name in names:
        # TensorFlow renames some others, and fails for the rest.
        if (
            not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", f"{name}")
            or keyword.iskeyword(name)
            or name == "self"
            or names.count(name) > 1
        ):
            raise ValueError(
                "The inputs of a served model must have different names of "
                "letters, digits and _, with a letter first, that are no words "
                f"of Python's. Received: {name!r}"
            )


def tensor_signature(model):
    """The signature that takes the model's own inputs by their names."""
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
) -> Signature:
    """A signature that takes JPEG or PNG files and decodes them in the graph.

    Its one input, `image_bytes`, is a batch of whole files of any size.

    Args:
        model: `keras.Model` with one image as its input.
        preprocess: Function from one decoded image, uint8 of shape `(height,
            width, channels)`, to the float image that the model takes.
            Defaults to a resize to the model's size, the values staying in
            `[0, 255]`.
        size: Pair of integers, height and width of what `preprocess` returns.
            Defaults to the model's.

    Returns:
        `Signature`.

    Raises:
        ValueError: if the model has not one input of rank 4 with 1 or 3
            channels last, or if neither it nor `size` has a size.

    Example:

    >>> signatures = {"serving_default": encoded_image_signature(model)}
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
            "Encoded images need a model with one input of shape (batch, "
            f"height, width, 1 or 3 channels). Received: {shapes}. Serve it by "
            "its tensors, or write a `Signature` of your own."
        )
    shape = shapes[0]
    size = tuple(size or shape[1:3])
    if None in size:
        raise ValueError(
            "A batch of images needs one size. "
            f"Received: a model of shape {shape} and size={size}. Give `size`."
        )
    (name,) = input_names(model)
    preprocess = preprocess or (
        lambda image: tf.image.resize(image, size, antialias=True)
    )

    def decode(encoded):
        image = tf.image.decode_image(
            encoded, channels=shape[3], expand_animations=False
        )
        image.set_shape((None, None, shape[3]))
        return tf.ensure_shape(
            tf.cast(preprocess(image), tf.float32), (*size, shape[3])
        )

    def to_model_inputs(tensors):
        images = tf.map_fn(
            decode,
            tensors[IMAGES],
            fn_output_signature=tf.TensorSpec((*size, shape[3]), tf.float32),
        )
        return {name: images}

    def examples(batch_size, random=None):
        pixels = (*size, shape[3])
        files = [
            _png(
                np.full(pixels, 128, "uint8")
                if random is None
                else random.integers(0, 256, pixels, "uint8")
            )
            for _ in range(batch_size)
        ]
        return {IMAGES: np.array(files, object)}

    inputs = {IMAGES: tf.TensorSpec((None,), tf.string, IMAGES)}
    return Signature(inputs, to_model_inputs, examples)


def with_labels(outputs, labels):
    """Adds the classes of the highest `probabilities` to what a model answers.

    Args:
        outputs: Function from what the model returns to a dictionary with
            `probabilities` of shape `(batch, classes)`.
        labels: Sequence of strings, one a class.

    Returns:
        The function with `class_ids`, int32, and `labels`, strings, added: of
        the 5 most likely classes, or all where there are fewer, the most likely
        first. Shape `(batch, 5)`.
    """
    labels = [str(label) for label in labels]

    def add_labels(results):
        answer = dict(outputs(results))
        probabilities = answer.get("probabilities")
        if probabilities is None or probabilities.shape[-1] != len(labels):
            shapes = {name: tuple(x.shape) for name, x in answer.items()}
            raise ValueError(
                "`labels` need an output `probabilities` with a class for each "
                f"label. Received: {len(labels)} labels and the outputs "
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
    """Adds `image_bytes`, PNG files of the images that a model answers.

    Args:
        outputs: Function from what the model returns to a dictionary with
            `image`, in [0, 1], of shape `(batch, height, width, 1 or 3)`.

    Returns:
        Function like `outputs`.
    """

    def add_png(results):
        answer = outputs(results)
        pixels = tf.saturate_cast(tf.round(255 * answer["image"]), tf.uint8)
        return {**answer, IMAGES: tf.io.encode_png(pixels)}

    return add_png


def _names(structure, names):
    """Keys of a structure with dictionaries, or else the names given."""
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
    return [
        next((key for key in path[::-1] if isinstance(key, str)), name)
        for path, name in zip(paths, names, strict=True)
    ]


def _png(image):
    return tf.io.encode_png(image).numpy()


def _example(spec, batch_size, random):
    # For unknown sizes, any size that is no special case.
    shape = [32 if axis is None else axis for axis in spec.shape[1:]]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype == tf.string:
        return np.full([batch_size, *shape], b"", object)
    if random is None or not spec.dtype.is_floating:
        return np.zeros([batch_size, *shape], dtype)
    return random.uniform(0, 1, [batch_size, *shape]).astype(dtype)
