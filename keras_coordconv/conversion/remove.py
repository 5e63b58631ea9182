"""Removes the coordinates of a model, and runs it with others."""

import functools
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_coordconv import layers
from keras_coordconv.conversion.clone import all_layers
from keras_coordconv.conversion.clone import check_graph
from keras_coordconv.conversion.clone import rebuild
from keras_coordconv.conversion.clone import remake
from keras_coordconv.conversion.convert import PLAIN
from keras_coordconv.conversion.convert import arguments_of_old_kernel
from keras_coordconv.conversion.convert import check_all_replaced
from keras_coordconv.conversion.convert import freeze_as
from keras_coordconv.conversion.maps import input_names
from keras_coordconv.conversion.maps import run_graph
from keras_coordconv.layers.constant_channels import ConstantChannels
from keras_coordconv.layers.coord_depthwise_conv import BaseCoordDepthwiseConv
from keras_coordconv.layers.coordinate_channel import BaseCoordinateChannel
from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution
from keras_coordconv.layers.coordinate_layer import COORDINATE_ARGUMENTS
from keras_coordconv.layers.coordinate_layer import CoordinateLayer

FRAMES = ("affine", "coordinates")
_DEPTHWISE = {
    layers.CoordDepthwiseConv1D: keras.layers.DepthwiseConv1D,
    layers.CoordDepthwiseConv2D: keras.layers.DepthwiseConv2D,
}


def remove_coordinates(model: keras.Model, x: Any = None) -> keras.Model:
    """Replaces all coordinates with their mean, in a copy of a model.

    Each CoordConv becomes the plain convolution with the weights of the image's
    channels. What the coordinates contribute to its output is replaced by the
    mean over all positions, which becomes part of the bias. The outputs differ,
    since the new model does not know positions from coordinates:
    `coordinate_report` measures how much that matters. It can be trained
    further.

    Since a convolution is linear, this is the contribution of the mean
    coordinates under each weight of the kernel. Where the kernel is partly on
    padding, a CoordConv sees zeros instead of coordinates. The mean includes
    these positions, and the plain convolution has the same bias there as
    everywhere.

    A depthwise CoordConv and a `CoordinateChannel` return coordinates as
    channels, which later layers expect. These channels become constants.

    Args:
        model: Functional or Sequential `keras.Model`, built. Nested models are
            included.
        x: Inputs as for `model.predict`, arrays. The mean is computed over
            all positions of these examples. It is needed if the model has
            inputs of unknown size, or if a layer is called with `affine` or
            `coordinates`.

    Returns:
        A new `keras.Model`, not compiled, with the same inputs: an `affine`
        that was only used by CoordConvs has no effect.

    Raises:
        ValueError: if the model is not a built Functional or Sequential model,
            or has no coordinates; if `x` is needed; if coordinates are in a
            layer of an unknown class, or inside a subclassed model or a
            wrapper, which has no graph to rebuild; or if Keras cannot save and
            reload a layer with weights.

    Example:

    >>> plain = keras_coordconv.remove_coordinates(model)
    >>> plain.get_layer("coord_conv2d")
    <Conv2D name=coord_conv2d, built=True>
    """
    check_graph(model)
    coordinate_layers = find_coordinate_layers(model)
    if not coordinate_layers:
        raise ValueError(
            "`model` has no coordinates to remove. "
            f"Received: model={model.name!r}"
        )
    inputs = _one_image(model) if x is None else flat_inputs(model, x)
    means = mean_terms(model, inputs, needs_x=x is None)
    check_all_replaced(coordinate_layers, means)
    replaced: dict[keras.Layer, keras.Layer] = {}

    def remove(layer, tensor, frame, _):
        if layer not in means:
            return None
        if layer not in replaced:
            replaced[layer] = _without_coordinates(layer, means[layer])
        new_layer = replaced[layer]
        return _without_frame(new_layer) if frame else new_layer

    new_model = rebuild(model, remove)
    for layer, new_layer in replaced.items():
        new_layer.trainable = layer.trainable
        for weight in new_layer.weights:
            freeze_as(weight, getattr(layer, weight.name, None))
    return new_model


def find_coordinate_layers(model):
    """Returns the layers that use coordinates as features, in their order."""
    return [
        layer
        for layer in dict.fromkeys(all_layers(model))
        if isinstance(layer, CoordinateLayer)
    ]


def flat_inputs(model, x):
    """Returns the inputs of a model as a list of arrays.

    Raises:
        ValueError: if `x` does not match the model's inputs.
    """
    names = input_names(model)
    if isinstance(x, dict) and {*names} <= x.keys():
        x = [x[name] for name in names]
    arrays = [np.asarray(array) for array in keras.tree.flatten(x)]
    symbols = model.inputs
    if (
        len(arrays) != len(symbols)
        or len({len(array) for array in arrays}) != 1
        or any(
            array.ndim != len(symbol.shape)
            or any(
                size not in (None, own)
                for own, size in zip(
                    array.shape[1:], symbol.shape[1:], strict=True
                )
            )
            for array, symbol in zip(arrays, symbols, strict=True)
        )
    ):
        raise ValueError(
            "`x` must be arrays of examples for the inputs "
            f"{dict(zip(names, [s.shape for s in symbols], strict=True))}. "
            f"Received: shapes {[array.shape for array in arrays]}"
        )
    return arrays


def run_in_batches(model, inputs, call, batch_size):
    """Runs through a graph, batch by batch.

    Args:
        model, call: As for `run_graph`.
        inputs: List of arrays, from `flat_inputs`.
        batch_size: Integer, the maximum. All batches have about the same size.

    Returns:
        List of NumPy arrays, the model's outputs.
    """
    count = math.ceil(len(inputs[0]) / batch_size)
    results = []
    for batch in zip(
        *(np.array_split(array, count) for array in inputs), strict=True
    ):
        values = [
            ops.convert_to_tensor(own, symbol.dtype)
            for own, symbol in zip(batch, model.inputs, strict=True)
        ]
        outputs = run_graph(model, values, call)
        results.append(
            [ops.convert_to_numpy(own) for own in keras.tree.flatten(outputs)]
        )
    return [np.concatenate(own) for own in zip(*results, strict=True)]


def mean_terms(model, inputs, batch_size=32, needs_x=False):
    """Computes the mean contribution of the coordinates to each layer.

    Args:
        model, inputs, batch_size: As for `run_in_batches`.
        needs_x: Boolean, whether to raise an error if a layer is called with a
            frame, since `inputs` does not contain it.

    Returns:
        Dictionary from the layers that the graph calls to float32 arrays of
        shape `(channels,)`.
    """
    sums = {}

    def call(layer, args, kwargs):
        if not isinstance(layer, CoordinateLayer):
            return layer(*args, **kwargs)
        if needs_x and has_frame(kwargs):
            raise ValueError(
                "The mean of the coordinates depends on the inputs: "
                f"{layer.name} is called with a frame for each example. Pass "
                "`x`, some examples."
            )

        def add(term):
            values = ops.convert_to_numpy(term).astype("float64")
            mean = values.reshape(-1, values.shape[-1]).mean(axis=0)
            total, weight = sums.get(layer, (0.0, 0))
            sums[layer] = total + len(args[0]) * mean, weight + len(args[0])
            return term

        return with_changed_term(layer, add)(*args, **kwargs)

    run_in_batches(model, inputs, call, batch_size)
    return {
        layer: (total / weight).astype("float32")
        for layer, (total, weight) in sums.items()
    }


def has_frame(kwargs):
    """Returns whether a call passes `affine` or `coordinates`."""
    return any(kwargs.get(name) is not None for name in FRAMES)


def with_changed_term(layer, change):
    """Copies a layer, with the same weights, and changes its coordinate term.

    Args:
        layer: `CoordinateLayer`.
        change: Function from the coordinates' contribution to the output, of
            shape `(batch or 1, *output_shape, channels)`, to one of the same
            shape, or with another batch size.
    """
    copy = object.__new__(type(layer))
    vars(copy).update(vars(layer))
    name = "_coordinate_term"
    if isinstance(layer, BaseCoordinateChannel):
        name = "_features"
    compute = getattr(layer, name)
    vars(copy)[name] = lambda *args, **kwargs: change(compute(*args, **kwargs))
    # Only one of the forms that a layer can take.
    vars(copy)["_appending_is_cheaper"] = lambda *_: False
    vars(copy)["_position_bias"] = functools.partial(
        CoordinateConvolution._position_bias, copy
    )
    return copy


def _without_coordinates(layer, constant):
    """Creates the plain form of a layer, with its weights.

    Args:
        layer: `CoordinateLayer`, built.
        constant: Array of shape `(channels,)`, from `mean_terms`.

    Raises:
        ValueError: if the class of the layer is unknown.
    """
    shape = [None] * (layer.rank + 2)
    shape[layer._channel_axis] = layer.input_spec.axes[layer._channel_axis]
    if isinstance(layer, BaseCoordinateChannel):
        new_layer = _constant_channels(layer, len(constant), name=layer.name)
        new_layer.build(shape)
        new_layer.values.assign(constant)
        return new_layer
    plain = {**PLAIN, **_DEPTHWISE}.get(type(layer))
    if plain is None:
        raise ValueError(
            "The coordinates of a subclass cannot be removed: it is unknown "
            f"how it uses its kernel. Received: layer={layer}"
        )
    own_weights, _ = layer._split_weights()
    weights = keras.tree.flatten(own_weights)
    is_depthwise = isinstance(layer, BaseCoordDepthwiseConv)
    own = math.prod(weights[0].shape[-2:]) if is_depthwise else 0
    bias = np.concatenate([np.zeros(own, "float32"), constant])
    if layer.use_bias:
        bias = bias + ops.convert_to_numpy(layer.bias)
    without = (*arguments_of_old_kernel(layer), *COORDINATE_ARGUMENTS)
    changes = {}
    if is_depthwise:
        bias, constant = np.split(bias, [own])
        without = (*without, "bias_initializer")
        changes = {"activation": None, "activity_regularizer": None}
        changes["name"] = "convolution"
    changes["use_bias"] = layer.use_bias or bool(bias.any())
    new_layer = remake(layer, plain, without=without, **changes)
    new_layer.build(shape)
    # The bias is the last weight, if there is one.
    for weight, value in zip(new_layer.weights, [*weights, bias], strict=False):
        weight.assign(value)
    if not is_depthwise:
        return new_layer
    channels = _constant_channels(
        layer,
        len(constant),
        activation=layer.activation,
        name="coordinates",
    )
    new_layer = keras.Sequential([new_layer, channels], name=layer.name)
    new_layer.build(shape)
    channels.values.assign(constant)
    return new_layer


def _constant_channels(layer, count, **arguments):
    return ConstantChannels(
        count,
        layer.data_format,
        activity_regularizer=layer.activity_regularizer,
        dtype=layer.dtype_policy,
        **arguments,
    )


def _without_frame(layer):
    def call(inputs, affine=None, coordinates=None, **kwargs):
        return layer(inputs, **kwargs)

    return call


def _one_image(model):
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    if any(None in shape for shape in shapes):
        raise ValueError(
            "The mean of the coordinates depends on the size of the image, "
            "which is unknown. Pass `x`, some examples. "
            f"Received: a model with inputs of shape {shapes}"
        )
    return [
        np.zeros((1, *tensor.shape[1:]), tensor.dtype)
        for tensor in model.inputs
    ]
