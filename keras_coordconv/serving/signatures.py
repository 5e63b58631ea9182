"""What a served model takes and gives: its signatures."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from keras_coordconv.serving.client import signature_table

TOP = 5


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
    """The signatures of a SavedModel, as `client.signature_table` has them.

    Raises:
        ValueError: if there is no SavedModel in the folder.
    """
    file = pathlib.Path(folder) / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        graph = saved.meta_graphs[0]
    except (OSError, message.DecodeError, IndexError) as error:
        raise ValueError(
            f"A version must be a SavedModel. Received: {file} ({error})"
        ) from error
    return signature_table(
        {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True
            )
            for name, definition in graph.signature_def.items()
        }
    )


def tensor_signature(model):
    """The signature that takes the model's own inputs by their names."""
    specs = {
        tensor.name: tf.TensorSpec(
            (None, *tensor.shape[1:]),
            keras.backend.standardize_dtype(tensor.dtype),
            name=tensor.name,
        )
        for tensor in model.inputs
    }

    def examples(batch_size, random=None):
        return {
            name: _example(spec, batch_size, random)
            for name, spec in specs.items()
        }

    return Signature(specs, lambda tensors: tensors, examples)


def encoded_image_signature(model, preprocess=None, size=None):
    """The signature that takes JPEG or PNG files and decodes them in the graph.

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
    (name,) = (tensor.name for tensor in model.inputs)
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
            tensors["image_bytes"],
            fn_output_signature=tf.TensorSpec((*size, shape[3]), tf.float32),
        )
        return {name: images}

    def examples(batch_size, random=None):
        pixels = (*size, shape[3])
        files = [
            tf.io.encode_png(
                np.full(pixels, 128, "uint8")
                if random is None
                else random.integers(0, 256, pixels, "uint8")
            ).numpy()
            for _ in range(batch_size)
        ]
        return {"image_bytes": np.array(files, object)}

    inputs = {"image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes")}
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

    def labelled(results):
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

    return labelled


def _example(spec, batch_size, random):
    # Unknown sizes: any that is no special case.
    shape = [32 if axis is None else axis for axis in spec.shape[1:]]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype == tf.string:
        return np.full([batch_size, *shape], b"", object)
    if random is None or not spec.dtype.is_floating:
        return np.zeros([batch_size, *shape], dtype)
    return random.uniform(0, 1, [batch_size, *shape]).astype(dtype)
