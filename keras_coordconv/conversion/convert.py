"""Converts models to CoordConv, and back to plain convolutions.

`convert_to_coordconv` adds coordinates to a trained model without changing its
outputs; `fold_coordinates` removes them again for inference.
"""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_coordconv import layers
from keras_coordconv.conversion.clone import all_layers
from keras_coordconv.conversion.clone import check_graph
from keras_coordconv.conversion.clone import rebuild
from keras_coordconv.conversion.clone import remake
from keras_coordconv.conversion.follow import follow_affine
from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import Axes
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import Encoding
from keras_coordconv.coordinates import RadiusCenter
from keras_coordconv.layers.coordinate_layer import COORDINATE_ARGUMENTS
from keras_coordconv.layers.coordinate_layer import CoordinateLayer
from keras_coordconv.layers.position_bias import PositionBias

# A depthwise CoordConv has more output channels than the convolution, so it
# cannot replace it in a graph.
_CONVERTIBLE = {
    getattr(keras.layers, name): getattr(layers, f"Coord{name}")
    for name in (
        "Conv1D",
        "Conv2D",
        "Conv3D",
        "Conv1DTranspose",
        "Conv2DTranspose",
        "Conv3DTranspose",
        "SeparableConv1D",
        "SeparableConv2D",
    )
}


def convert_to_coordconv(
    model: keras.Model,
    select: str | Sequence[str] | Callable[[keras.Layer], bool] = "first",
    *,
    use_radius: bool = False,
    coordinate_range: CoordinateRange = DEFAULT_RANGE,
    align: Align = "centers",
    axes: Axes = None,
    radius_center: RadiusCenter = None,
    encoding: Encoding = None,
    affine: bool = False,
) -> keras.Model:
    """Adds coordinates to convolutions of a model, in a copy of the model.

    The convolutions keep their weights, and the weights of the coordinates
    start at zero: the outputs do not change until the new model is trained. The
    new model copies all state: weights, trainable flags, statistics,
    vocabularies, seeds. The original model is not modified.

    Args:
        model: Functional or Sequential `keras.Model`, built. Nested models are
            converted too; a shared layer stays shared.
        select: Convolutions to convert: `"first"` (the first one in the order
            of `model.layers`), `"all"`, a list of layer names, or a function
            from a layer to a boolean. Depthwise convolutions cannot be
            converted, since they would get more output channels.
        use_radius, coordinate_range, align, axes, radius_center, encoding: As
            for the layers.
        affine: Boolean, whether to add an input `affine` of shape `(batch,
            axes, axes + 1)` to the model: the frame of each image, instead of
            `coordinate_range`. Each selected convolution gets the frame of its
            own input, computed by `follow_affine`. Convolutions inside nested
            models cannot be selected.

    Returns:
        A new `keras.Model`, not compiled. With `affine`, its inputs are a list,
        or a dictionary if the original inputs are one, with `affine` last.

    Raises:
        ValueError: if the model is not a built Functional or Sequential model,
            or has no convolution; if `select` is malformed, selects no
            convolution, or selects one inside a subclassed model or a wrapper,
            which has no graph to rebuild; or if Keras cannot save and reload a
            layer with weights. With `affine`, also if a frame cannot be
            followed to a selected convolution.

    Example:

    >>> model = keras.applications.ResNet50(weights="imagenet")
    >>> model = keras_coordconv.convert_to_coordconv(model)
    >>> model.get_layer("conv1_conv")
    <CoordConv2D name=conv1_conv, built=True>

    Crops of 224 x 224 pixels, in the coordinates of the photographs:

    >>> model = keras_coordconv.convert_to_coordconv(model, affine=True)
    >>> model.predict([crops, affine])
    """
    check_graph(model)
    chosen = _select(model, select)
    replaced = {}

    def convert(layer, tensor, frame, inputs):
        if layer not in chosen:
            return None
        if layer not in replaced:
            replaced[layer] = remake(
                layer,
                _CONVERTIBLE[type(layer)],
                without=arguments_of_old_kernel(layer),
                use_radius=use_radius,
                coordinate_range=coordinate_range,
                align=align,
                axes=axes,
                radius_center=radius_center,
                encoding=encoding,
            )
        new_layer = replaced[layer]
        if not affine:
            return new_layer
        affine_input = inputs["affine" if isinstance(inputs, dict) else -1]
        own_affine = follow_affine(tensor, affine_input)
        return functools.partial(new_layer, affine=own_affine)

    if affine:
        model = _with_affine_input(model, chosen)
    new_model = rebuild(model, convert)
    check_all_replaced(chosen, replaced)
    for layer, new_layer in replaced.items():
        new_layer.trainable = layer.trainable
        for weight in new_layer.weights:
            old = getattr(layer, weight.name)
            weight.assign(_append_coordinate_slice(old, weight))
            freeze_as(weight, old)
    return new_model


def fold_coordinates(model: keras.Model) -> keras.Model:
    """Folds coordinates into constants, in a copy of a model for inference.

    Each CoordConv becomes a plain convolution and a `PositionBias`, which adds
    the contribution of the coordinates and the bias at each position, for the
    model's input size. A layer shared by inputs of different sizes is
    duplicated per size. Depthwise CoordConvs, whose coordinates have their own
    output channels, are not folded, nor are calls with `affine` or
    `coordinates`.

    The model's file grows by a map of height x width x filters numbers per
    folded layer and size: 0.8 MB in float32 for 56 x 56 x 64. Folding pays off
    in TensorFlow's graphs; ONNX Runtime and OpenVINO fold constants themselves.

    Args:
        model: Functional or Sequential `keras.Model`, built for inputs of known
            spatial size. Nested models are folded too.

    Returns:
        A new `keras.Model`, not compiled. The position biases are not
        trainable.

    Raises:
        ValueError: if the model is not a built Functional or Sequential model,
            or has no CoordConv to fold; if a CoordConv has an input of unknown
            size, is inside a subclassed model or a wrapper, which has no graph
            to rebuild, or is inside a model that is called with several sizes;
            or if Keras cannot save and reload a layer with weights.

    Example:

    >>> folded = keras_coordconv.fold_coordinates(model)
    >>> export_for_serving(folded, "saved_models/my_model")
    """
    check_graph(model)
    chosen = [layer for layer in all_layers(model) if type(layer) in PLAIN]
    replaced: dict[keras.Layer, Any] = {}
    with_frames = []

    def fold(layer, tensor, frame, _):
        if layer not in chosen:
            return None
        if frame:
            with_frames.append(layer)
            return None
        sizes = replaced.setdefault(layer, {})
        size = layer._spatial_shape(tensor)
        if size not in sizes:
            # Each size of a shared layer has its own constants.
            suffix = "_" + "x".join(map(str, size)) if sizes else ""
            sizes[size] = _folded(layer, layer.name + suffix)
        return sizes[size]

    new_model = rebuild(model, fold)
    if not replaced and len(chosen) == len(with_frames):
        raise ValueError(
            "`model` has no CoordConv to fold. A depthwise CoordConv returns "
            "its coordinates as channels, and calls with `affine` or "
            "`coordinates` have different coordinates each time: neither is "
            f"folded. Received: model={model} with {_names_of_ours(model)}"
        )
    check_all_replaced(
        [layer for layer in chosen if layer not in with_frames], replaced
    )
    for layer, sizes in replaced.items():
        weights, coordinate_weights = layer._split_weights()
        for size, new_layer in sizes.items():
            new_layer.trainable = layer.trainable
            convolution, position_bias = new_layer.layers
            for weight, value in zip(
                convolution.weights, keras.tree.flatten(weights), strict=True
            ):
                weight.assign(value)
                freeze_as(weight, getattr(layer, weight.name))
            position_bias.bias.assign(
                layer._position_bias(size, coordinate_weights)
            )
    return new_model


def _folded(layer, name):
    """Creates a plain convolution and a position bias, without values yet."""
    convolution = remake(
        layer,
        PLAIN[type(layer)],
        without=(*arguments_of_old_kernel(layer), *COORDINATE_ARGUMENTS),
        use_bias=False,
        activation=None,
        activity_regularizer=None,
        name="convolution",
    )
    position_bias = PositionBias(
        activation=layer.activation,
        activity_regularizer=layer.activity_regularizer,
        dtype=layer.dtype_policy,
        name="position_bias",
    )
    return keras.Sequential([convolution, position_bias], name=name)


def _names_of_ours(model):
    names = [
        f"{type(layer).__name__} {layer.name!r}"
        for layer in all_layers(model)
        if isinstance(layer, CoordinateLayer)
    ]
    return ", ".join(names) or "no layer of this package"


def arguments_of_old_kernel(layer):
    """Returns the arguments that a layer with a larger kernel cannot reuse.

    Some initializers, such as `Constant` with an array, can only create kernels
    of the old shape. The new kernel is overwritten anyway.
    """
    found = list(_LORA_ARGUMENTS)
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        if hasattr(layer, name):
            argument = f"{name.removesuffix('_kernel')}_initializer"
            *window, inputs, outputs = getattr(layer, name).shape
            shape = (*window, inputs + 1, outputs + 1)
            try:
                made = tuple(getattr(layer, argument)(shape).shape)
            except Exception:  # Custom initializers may raise any error.
                made = None
            if made != shape:
                found.append(argument)
    return found


def _select(model, select):
    """Returns the layers of a model that `select` selects."""
    convolutions = [
        layer for layer in all_layers(model) if type(layer) in _CONVERTIBLE
    ]
    if not convolutions:
        raise ValueError(
            f"`model` has no convolution to convert. Received: model={model}"
        )
    if select == "first":
        chosen = convolutions[:1]
    elif select == "all":
        chosen = convolutions
    elif callable(select):
        chosen = [layer for layer in convolutions if select(layer)]
    elif isinstance(select, (list, tuple)):
        names = [layer.name for layer in convolutions]
        unknown = [name for name in select if name not in names]
        if unknown:
            raise ValueError(
                f"Unknown convolutions: {unknown}. The model has {names}. "
                f"Received: select={select!r}"
            )
        chosen = [layer for layer in convolutions if layer.name in select]
    else:
        raise ValueError(
            '`select` must be "first", "all", a list of layer names or a '
            f"function of a layer. Received: select={select!r}"
        )
    if not chosen:
        raise ValueError(
            "`select` must select at least one convolution. "
            f"Received: select={select!r}, which selects none of "
            f"{[layer.name for layer in convolutions]}"
        )
    return chosen


def _with_affine_input(model, chosen):
    """Adds an input to a graph, which no layer uses yet."""
    nested = [layer.name for layer in chosen if layer not in model.layers]
    if nested:
        raise ValueError(
            "With `affine`, the convolutions to convert must be layers of the "
            f"model itself. Received: {nested} inside a nested model. Convert "
            "the nested model, and call it with [images, affine]."
        )
    rank = chosen[0].rank
    affine = keras.Input((rank, rank + 1), name="affine")
    inputs = [*model.inputs, affine]
    if isinstance(model, keras.Sequential):
        return keras.Model(inputs, model.outputs[0], name=model.name)
    if isinstance(model.input, dict):
        inputs = {**model.input, "affine": affine}
    return keras.Model(inputs, model.output, name=model.name)


def check_all_replaced(chosen, replaced):
    missed = [layer.name for layer in chosen if layer not in replaced]
    if missed:
        raise ValueError(
            "All convolutions to replace must be layers of a Functional or "
            "Sequential model, or of one nested in it. "
            f"Received: {missed} inside a subclassed model or a wrapper."
        )


def freeze_as(weight, old):
    """Freezes a weight if the old one is frozen. With LoRA, it is a tensor."""
    weight.trainable = getattr(old, "trainable", weight.trainable)


def _append_coordinate_slice(old, new):
    """Returns the old weights, with zeros for the coordinates.

    The depthwise kernel of a separable convolution keeps its new values for
    them: with zeros in both kernels, neither would have a gradient.
    """
    result = ops.convert_to_numpy(new).copy()
    if new.name != "depthwise_kernel":
        result[:] = 0
    old = ops.convert_to_numpy(old)
    result[tuple(slice(size) for size in old.shape)] = old
    return result


PLAIN = {ours: plain for plain, ours in _CONVERTIBLE.items()}

# The low-rank update is already part of the kernel.
_LORA_ARGUMENTS = ("lora_rank", "lora_alpha")
