"""From existing models to CoordConv, and back to plain convolutions.

`convert_to_coordconv` gives coordinates to convolutions of a trained model
without changing its outputs; `fold_coordinates` is the way back for inference.
"""

import keras
import numpy as np
from keras import ops

from keras_coordconv import layers
from keras_coordconv.coordinates import DEFAULT_RANGE

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
        coordinate_range: As for the layers.

    Returns:
        A new `keras.Model`, compiled as the old one if that was.

    Raises:
        ValueError: if the model is not Functional or Sequential, or not built;
            or if `select` is malformed or chooses no convolution.

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
        # A low-rank update is merged into the kernel that is copied.
        config.pop("lora_rank", None)
        config.pop("lora_alpha", None)
        config["use_radius"] = use_radius
        config["coordinate_range"] = coordinate_range
        return _CONVERTIBLE[type(layer)].from_config(config)

    new_model, replaced = _rebuild(model, convert)
    for layer, new_layer in replaced:
        new_layer.set_weights(
            [
                _append_coordinate_slice(name, getattr(layer, name), new_weight)
                for name, new_weight in _named_weights(new_layer).items()
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
        A new `keras.Model`. The position biases do not train.

    Raises:
        ValueError: if the model is not Functional or Sequential, or not built;
            or if a CoordConv has an input of unknown size.

    Example:

    >>> folded = keras_coordconv.fold_coordinates(model)
    >>> export_for_serving(folded, "saved_models/my_model")
    """

    _check_model(model)

    def fold(layer):
        plain_class = _PLAIN.get(type(layer))
        if plain_class is None:
            return None
        config = layer.get_config()
        for name in ("use_radius", "coordinate_range"):
            del config[name]
        config.update(use_bias=False, activation=None, name="convolution")
        return keras.Sequential(
            [
                plain_class.from_config(config),
                PositionBias(
                    activation=layer.activation,
                    dtype=layer.dtype_policy,
                    name="position_bias",
                ),
            ],
            name=layer.name,
        )

    new_model, replaced = _rebuild(model, fold)
    for layer, new_layer in replaced:
        convolution, position_bias = new_layer.layers
        weights, coordinate_weights = layer.split_weights()
        position = layer.position_term(
            layer.spatial_shape(convolution.input), coordinate_weights
        )
        for weight, value in zip(
            [*convolution.weights, *position_bias.weights],
            [*keras.tree.flatten(weights), position],
            strict=True,
        ):
            weight.assign(value)
    return new_model


@keras.saving.register_keras_serializable(package="keras_coordconv")
class PositionBias(keras.layers.Layer):
    """Adds a constant to each position and channel, then an activation.

    What is left of a CoordConv's coordinates after `fold_coordinates`.

    Args:
        activation: Name of the activation or callable, or `None`.

    Raises:
        ValueError: if the input's shape, but for the batch, is not known.
    """

    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                "The input of a folded CoordConv must have a known size. "
                f"Received: input_shape={tuple(input_shape)}. Build the model "
                "for one size, with keras.Input((height, width, channels))."
            )
        self.bias = self.add_weight(
            name="bias",
            shape=(1, *input_shape[1:]),
            initializer="zeros",
            trainable=False,
        )

    def call(self, inputs):
        return self.activation(ops.add(inputs, self.bias))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config["activation"] = keras.activations.serialize(self.activation)
        return config


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


def _all_layers(model):
    """All layers of a model and of the models in it, in their order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        else:
            yield layer


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

    new_model = keras.models.clone_model(
        model, clone_function=clone, recursive=True
    )
    for layer, new_layer in copied:
        new_layer.set_weights(layer.get_weights())
        if hasattr(new_layer, "finalize_state"):
            new_layer.finalize_state()  # Normalization works on its own copy.
    return new_model, replaced


def _named_weights(layer):
    """The weights of a convolution by the names of their attributes."""
    return {weight.name: weight for weight in layer.weights}


def _append_coordinate_slice(name, old, new):
    """Old weights followed by zeros where the coordinates come in.

    The depthwise part of a separable convolution keeps its new values there:
    with zeros in both parts, neither would have a gradient.
    """
    old, new = ops.convert_to_numpy(old), ops.convert_to_numpy(new)
    result = new if name == "depthwise_kernel" else np.zeros_like(new)
    result = result.copy()
    result[tuple(slice(size) for size in old.shape)] = old
    return result


_PLAIN = {ours: plain for plain, ours in _CONVERTIBLE.items()}
