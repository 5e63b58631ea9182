"""From existing models to CoordConv, and back to plain convolutions.

`convert_to_coordconv` gives coordinates to convolutions of a trained model
without changing its outputs; `fold_coordinates` is the way back for inference.
"""

import contextlib

import keras
from keras import ops

from keras_coordconv import layers
from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.layers.coordinate_layer import COORDINATE_ARGUMENTS
from keras_coordconv.layers.position_bias import PositionBias

# A depthwise CoordConv has more output channels than the convolution: it cannot
# take its place in a graph.
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
    model,
    select="first",
    use_radius=False,
    coordinate_range=DEFAULT_RANGE,
    radius_center=None,
):
    """A copy of a model in which chosen convolutions see coordinates.

    The convolutions keep their weights and get zeros for the coordinates: the
    new model's outputs are those of the old one, until training moves them.
    The old model stays as it is.

    Args:
        model: Functional or Sequential `keras.Model`, built. Nested models are
            converted too; a shared layer stays shared.
        select: Which convolutions to convert: `"first"` (the first one in the
            order of `model.layers`), `"all"`, a list of layer names, or a
            function from a layer to a boolean. Depthwise convolutions are never
            converted: they would get more output channels.
        use_radius: Boolean, whether they see the radius too.
        coordinate_range, radius_center: As for the layers.

    Returns:
        A new `keras.Model`, not compiled.

    Raises:
        ValueError: if the model is not Functional or Sequential, or not built;
            if `select` is malformed or chooses no convolution; or if it chooses
            one inside a subclassed model or a wrapper, which has no graph to
            rebuild.

    Example:

    >>> model = keras.applications.ResNet50(weights="imagenet")
    >>> model = keras_coordconv.convert_to_coordconv(model)
    >>> model.get_layer("conv1_conv")
    <CoordConv2D name=conv1_conv, built=True>
    """
    _check_model(model)
    chosen = _select(model, select)

    def convert(layer):
        if not any(layer is other for other in chosen):
            return None
        config = layer.get_config()
        _forget_lora(config)
        config["use_radius"] = use_radius
        config["coordinate_range"] = coordinate_range
        config["radius_center"] = radius_center
        return _CONVERTIBLE[type(layer)].from_config(config)

    new_model, replaced = _rebuild(model, convert)
    _check_all_replaced(chosen, replaced)
    for layer, new_layer in replaced:
        new_layer.set_weights(
            [
                _append_coordinate_slice(getattr(layer, weight.name), weight)
                for weight in new_layer.weights
            ]
        )
    return new_model


def fold_coordinates(model):
    """A copy of a model for inference, with the coordinates worked out.

    Each CoordConv becomes a plain convolution and a `PositionBias`: what its
    coordinates and its bias add at each position, at the model's input size.
    Depthwise CoordConvs, which give the coordinates channels of their own, stay
    as they are.

    Args:
        model: Functional or Sequential `keras.Model`, built for inputs of known
            spatial size. Nested models are folded too.

    Returns:
        A new `keras.Model`, not compiled. The position biases do not train.

    Raises:
        ValueError: if the model is not Functional or Sequential, or not built;
            if a CoordConv has an input of unknown size; or if it is inside a
            subclassed model or a wrapper, which has no graph to rebuild.

    Example:

    >>> folded = keras_coordconv.fold_coordinates(model)
    >>> export_for_serving(folded, "saved_models/my_model")
    """
    _check_model(model)

    def fold(layer):
        if type(layer) not in _PLAIN:
            return None
        config = layer.get_config()
        for name in COORDINATE_ARGUMENTS:
            del config[name]
        _forget_lora(config)
        config.update(
            use_bias=False,
            activation=None,
            activity_regularizer=None,
            name="convolution",
        )
        return keras.Sequential(
            [
                _PLAIN[type(layer)].from_config(config),
                PositionBias(
                    activation=layer.activation,
                    activity_regularizer=layer.activity_regularizer,
                    dtype=layer.dtype_policy,
                    name="position_bias",
                ),
            ],
            name=layer.name,
        )

    new_model, replaced = _rebuild(model, fold)
    _check_all_replaced(
        [layer for layer in _all_layers(model) if type(layer) in _PLAIN],
        replaced,
    )
    for layer, new_layer in replaced:
        convolution, position_bias = new_layer.layers
        weights, coordinate_weights = layer._split_weights()
        position = layer._position_bias(
            layer._spatial_shape(convolution.input), coordinate_weights
        )
        for weight, value in zip(
            [*convolution.weights, *position_bias.weights],
            [*keras.tree.flatten(weights), position],
            strict=True,
        ):
            weight.assign(value)
    return new_model


def _check_model(model):
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "`model` must be a built Functional or Sequential keras.Model. "
            f"Received: model={model}. Give it a keras.Input, or call it once."
        )


def _select(model, select):
    """The layers of a model that `select` means."""
    convolutions = [
        layer for layer in _all_layers(model) if type(layer) in _CONVERTIBLE
    ]
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
                "`select` must hold names of convolutions of the model. "
                f"Received: select={select!r}, without one for {unknown}; "
                f"the model has {names}"
            )
        chosen = [layer for layer in convolutions if layer.name in select]
    else:
        raise ValueError(
            '`select` must be "first", "all", a list of layer names or a '
            f"function of a layer. Received: select={select!r}"
        )
    if not chosen:
        raise ValueError(
            "`select` must choose at least one convolution. "
            f"Received: select={select!r}, which chooses none of "
            f"{[layer.name for layer in convolutions]}"
        )
    return chosen


def _all_layers(layer):
    """The layers inside a layer and inside those, in their order."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        yield inner
        yield from _all_layers(inner)


def _check_all_replaced(chosen, replaced):
    done = [layer for layer, _ in replaced]
    missed = [
        layer.name
        for layer in chosen
        if not any(layer is other for other in done)
    ]
    if missed:
        raise ValueError(
            "All convolutions to replace must be layers of a Functional or "
            "Sequential model, or of such a model inside it. "
            f"Received: {missed} inside a subclassed model or a wrapper."
        )


def _forget_lora(config):
    """A low-rank update is already in the kernel that the layer shows."""
    config.pop("lora_rank", None)
    config.pop("lora_alpha", None)


@contextlib.contextmanager
def _not_compiled(model):
    """`clone_model` compiles the copy of a compiled model, if it can."""
    compiled = [
        layer
        for layer in [model, *_all_layers(model)]
        if getattr(layer, "compiled", False)
    ]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def _rebuild(model, replace):
    """A copy of a model with some layers replaced, all others the same.

    Args:
        model: Functional or Sequential `keras.Model`.
        replace: Function from a layer to its replacement, or to `None`.

    Returns:
        Tuple of the new model and a list of pairs, each layer replaced and its
        replacement, which is built but does not have the layer's weights yet.
    """
    replaced, copied = [], []

    def clone(layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer  # An operation of `keras.ops`: it has no state.
        new_layer = replace(layer)
        if new_layer is not None:
            replaced.append((layer, new_layer))
        else:
            new_layer = type(layer).from_config(layer.get_config())
            copied.append((layer, new_layer))
        return new_layer

    with _not_compiled(model):
        new_model = keras.models.clone_model(
            model, clone_function=clone, recursive=True
        )
    for layer, new_layer in copied:
        new_layer.set_weights(layer.get_weights())
        if hasattr(new_layer, "finalize_state"):
            new_layer.finalize_state()  # Normalization works on its own copy.
    return new_model, replaced


def _append_coordinate_slice(old, new):
    """Old weights followed by zeros where the coordinates come in.

    The depthwise part of a separable convolution keeps its new values there:
    with zeros in both parts, neither would have a gradient.
    """
    result = ops.convert_to_numpy(new).copy()
    if new.name != "depthwise_kernel":
        result[:] = 0
    old = ops.convert_to_numpy(old)
    result[tuple(slice(size) for size in old.shape)] = old
    return result


_PLAIN = {ours: plain for plain, ours in _CONVERTIBLE.items()}
