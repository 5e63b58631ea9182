"""Maps: where each tensor of a Functional graph lies in the model's input.

`follow_maps` runs through a graph and its nested models as Keras does, with a
`Map` instead of each tensor. A layer that moves positions has taps (`taps`).
The layers that are listed here preserve positions.
"""

import dataclasses
import math
from fractions import Fraction
from typing import Any

import keras
import numpy as np

from keras_coordconv.conversion.clone import all_layers
from keras_coordconv.conversion.clone import is_graph
from keras_coordconv.conversion.follow import FollowedAffine
from keras_coordconv.conversion.taps import WINDOW_LAYERS
from keras_coordconv.conversion.taps import layer_taps
from keras_coordconv.layers.coordinate_layer import CoordinateLayer

_POINTWISE = tuple(
    getattr(keras.layers, name)
    for name in (
        *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
        *("ActivityRegularization", "AlphaDropout", "Dropout"),
        *("GaussianDropout", "GaussianNoise", "Identity", "Rescaling"),
        *("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
        *("BatchNormalization", "LayerNormalization", "Normalization"),
        *("RMSNormalization", "UnitNormalization", "Dense"),
        *("Add", "Average", "Concatenate", "Maximum", "Minimum"),
        *("Multiply", "Subtract"),
    )
)
# Operations of `keras.ops`, by name: their classes are not public.
_POINTWISE_OPERATIONS = {
    *("Absolute", "Add", "Cast", "Ceil", "Celu", "Clip", "Concatenate", "Cos"),
    *("Divide", "Elu", "Equal", "Exp", "Expm1", "Floor", "Gelu", "Greater"),
    *("GreaterEqual", "HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu"),
    *("Less", "LessEqual", "Log", "Log1p", "LogSigmoid", "LogSoftmax"),
    *("LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mish"),
    *("Multiply", "Negative", "Power", "Relu", "Relu6", "Round", "Rsqrt"),
    *("Selu", "Sigmoid", "Sign", "Silu", "Sin", "Softmax", "Softplus"),
    *("Softsign", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide", "Where"),
}
_ALONG_LAST_AXIS = (
    keras.activations.softmax,
    keras.activations.log_softmax,
    keras.activations.sparsemax,
)


# Stands for an unknown image size: nearly all strides divide it.
_DIVISIBLE_SIZE = 2**10 * 3**2 * 5 * 7


@dataclasses.dataclass(frozen=True)
class Axis:
    """How the positions of a map lie along one axis of the image.

    Attributes:
        size: Integer, number of positions in the map of the whole image.
        step: Fraction, distance from one position to the next, in pixels.
        first, last: Tuples of integers, the ends of the receptive fields of the
            first positions. For further positions they repeat, shifted.
        before, after: Integers, numbers of positions at the beginning and at
            the end of a window's map that differ from the map of the whole
            image, if the window does not begin or end with the image.
    """

    size: int
    step: Fraction = Fraction(1)
    first: tuple = (0,)
    last: tuple = (0,)
    before: int = 0
    after: int = 0

    def through(self, taps, size):
        """Returns the axis of a layer's output, which has this size."""
        up, down, first, last = map(int, taps)
        # The first position, and the one after the last, that depend only on
        # correct positions.
        before = (up * (self.before - 1) - first) // down + 1
        end = (up * (self.size - self.after) - last - 1) // down + 1
        step = self.step * Fraction(down, up)
        inputs_in_turn = up * len(self.first)
        fields = [
            (
                self.ends(-((-down * k - first) // up))[0],
                self.ends((down * k + last) // up)[1],
            )
            for k in range(inputs_in_turn // math.gcd(down, inputs_in_turn))
        ]
        ends = zip(*fields, strict=True)
        return Axis(size, step, *ends, max(before, 0), max(size - end, 0))

    def ends(self, position):
        """Returns the first and the last pixel that a position sees."""
        turns, number = divmod(position, len(self.first))
        shift = int(turns * len(self.first) * self.step)
        return self.first[number] + shift, self.last[number] + shift

    @staticmethod
    def merge(axes):
        """Returns the axis of several merged maps, or `None` if they differ."""
        if len({(axis.size, axis.step) for axis in axes}) > 1:
            return None
        fields = []
        for position in range(math.lcm(*(len(axis.first) for axis in axes))):
            first, last = zip(
                *(axis.ends(position) for axis in axes), strict=True
            )
            fields.append((min(first), max(last)))
        return Axis(
            axes[0].size,
            axes[0].step,
            *zip(*fields, strict=True),
            max(axis.before for axis in axes),
            max(axis.after for axis in axes),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A tensor of a graph.

    Attributes:
        tensor: `KerasTensor`, with the sizes of the whole image.
        axes: Tuple of `Axis`, or `None` for a tensor without positions.
        reason: String, why its positions cannot be followed, or `None`.
    """

    tensor: Any
    axes: tuple | None = None
    reason: str | None = None


def data_format_of(model):
    """Returns the data format of a model's layers, or `None` if they differ."""
    formats = {
        layer.data_format
        for layer in all_layers(model)
        if getattr(layer, "data_format", None)
    }
    if len(formats) > 1:
        return None
    return formats.pop() if formats else "channels_last"


def input_names(model):
    """Returns the keys of a model's inputs, or else their names."""
    if isinstance(model, keras.Function) and isinstance(model.input, dict):
        keys = {id(tensor): key for key, tensor in model.input.items()}
        return [keys[id(tensor)] for tensor in model.inputs]
    return [tensor.name for tensor in model.inputs]


def maps_of_inputs(model, size=None):
    """Returns the maps of a model's inputs, for an image of this size."""
    is_last = data_format_of(model) != "channels_first"
    maps = []
    for name, symbol in zip(input_names(model), model.inputs, strict=True):
        if name == "affine" or len(symbol.shape) < 3:
            maps.append(Map(symbol))
            continue
        _, *shape = symbol.shape
        own_size = shape[:-1] if is_last else shape[1:]
        own_size = size or [n or _DIVISIBLE_SIZE for n in own_size]
        shape = (*own_size, shape[-1]) if is_last else (shape[0], *own_size)
        tensor = keras.KerasTensor((1, *shape), symbol.dtype)
        maps.append(Map(tensor, tuple(Axis(n) for n in own_size)))
    return maps


def run_graph(model, inputs, call):
    """Runs through a graph and its nested graphs.

    Args:
        model: Model for which `is_graph` is true.
        inputs: Structure of values, like the model's inputs.
        call: Function of a layer or operation, and of the positional and the
            keyword arguments that it is called with. It returns values.

    Returns:
        Structure of values, like the model's outputs.
    """

    def operation(layer):
        if isinstance(layer, keras.Layer) and is_graph(layer):
            return lambda values, **_: run_graph(layer, values, call)
        return lambda *args, **kwargs: call(layer, args, kwargs)

    if isinstance(model, keras.Sequential):
        model = model._functional
    return model._run_through_graph(inputs, operation)


def follow_maps(model, inputs):
    """Computes the maps of a model's outputs, and of all tensors in between.

    Args:
        model: Model for which `is_graph` is true.
        inputs: Structure of `Map`, like the model's inputs.

    Returns:
        Structure of `Map`, like the model's outputs, and a list of tuples, one
        for each call in the graph: the layer or operation, its positional and
        keyword arguments, and the list of the maps that it returns.
    """
    data_format = data_format_of(model)
    calls = []

    def call(layer, args, kwargs):
        positional, by_name = keras.tree.map_structure(
            lambda value: value.tensor if isinstance(value, Map) else value,
            (args, kwargs),
        )
        made = keras.tree.map_structure(
            lambda spec: _follow(layer, args, kwargs, spec, data_format),
            layer.compute_output_spec(*positional, **by_name),
        )
        calls.append((layer, args, kwargs, keras.tree.flatten(made)))
        return made

    return run_graph(model, inputs, call), calls


def _follow(layer, args, kwargs, spec, data_format):
    """Returns the map of a layer's output, from the maps of its inputs."""
    values = keras.tree.flatten((args, kwargs))
    given = [value for value in values if isinstance(value, Map)]
    for known in given:
        if known.reason is not None:
            return Map(spec, reason=known.reason)
    axes = [known.axes for known in given if known.axes is not None]
    if not axes or isinstance(layer, FollowedAffine):
        return Map(spec)
    reason = _reason(layer, values, kwargs, axes, data_format)
    if reason is not None:
        name = f"{layer.name} ({type(layer).__name__})"
        return Map(spec, reason=f"{name} {reason}")
    merged = [Axis.merge(own) for own in zip(*axes, strict=True)]
    if isinstance(layer, WINDOW_LAYERS):
        shape = spec.shape
        sizes = shape[1:-1] if data_format == "channels_last" else shape[2:]
        taps = layer_taps(layer, [axis.size for axis in merged])
        merged = [
            axis.through(own, size)
            for axis, own, size in zip(merged, taps, sizes, strict=True)
        ]
    return Map(spec, tuple(merged))


def _reason(layer, values, kwargs, axes, data_format):
    """Returns why positions cannot be followed through a layer, or `None`."""
    rank = len(axes[0])
    last = data_format == "channels_last"
    known = (*_POINTWISE, *WINDOW_LAYERS, CoordinateLayer)
    if isinstance(layer, keras.Layer):
        is_known = isinstance(layer, known)
    else:
        is_known = type(layer).__name__ in _POINTWISE_OPERATIONS
    owner = next(base for base in type(layer).__mro__ if "call" in vars(base))
    if not (is_known and _is_of_keras(owner)):
        return "sees the whole image, or moves its pixels in an unknown way"
    if data_format is None:
        return "is in a model with both data formats"
    if any(len(own) != rank for own in axes) or any(
        Axis.merge(own) is None for own in zip(*axes, strict=True)
    ):
        return "merges maps of different sizes or strides"
    if kwargs.get("training"):
        return "is called with training=True"
    axis = getattr(layer, "axis", None)
    if axis is not None and not {*np.atleast_1d(axis).tolist()} <= (
        {-1, rank + 1} if last else {1, -rank - 1}
    ):
        return f"works along axis={axis}, which is not the channel axis"
    activation = getattr(layer, "activation", None)
    if activation is not None and (
        not _is_of_keras(activation)
        or (not last and activation in _ALONG_LAST_AXIS)
        or (
            isinstance(activation, keras.Layer)
            and not isinstance(activation, known)
        )
    ):
        return f"has the activation {activation}, which may see other positions"
    if isinstance(layer, keras.layers.Dense) and not last:
        return "works along the last axis, which is not the channel axis"
    constants = [value for value in values if not isinstance(value, Map)]
    constants += [getattr(layer, "alpha", None)]  # Of PReLU.
    for constant in constants:
        shape = (1,) * (rank + 1) + tuple(getattr(constant, "shape", ()))
        if {*(shape[-rank - 1 : -1] if last else shape[-rank:])} != {1}:
            return "has an array with the positions of a single image size"
    if (
        isinstance(layer, CoordinateLayer)
        and kwargs.get("affine") is not None
        and layer.use_radius
        and layer.radius_center is None
    ):
        return "measures the radius from the middle: set its `radius_center`"
    return None


def _is_of_keras(value):
    name = getattr(value, "__module__", "") or type(value).__module__
    return name.split(".")[0] in ("keras", "keras_coordconv")
