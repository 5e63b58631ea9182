"""Follows frames through a Functional graph, from an image to a feature map."""

import keras
import numpy as np
from keras import ops

from keras_coordconv.conversion.clone import is_graph
from keras_coordconv.conversion.taps import layer_taps
from keras_coordconv.conversion.taps import window_arguments
from keras_coordconv.coordinates import Tensor
from keras_coordconv.frames import conv_affine
from keras_coordconv.frames import reindex_affine
from keras_coordconv.frames import resize_affine


def follow_affine(tensor: Tensor, affine: Tensor) -> Tensor:
    """Follows a frame from an image to a feature map of a Functional graph.

    A position of the map has the coordinates of the center of its receptive
    field. The frame is followed through convolutions, transposed convolutions,
    poolings, `ZeroPadding`, `Cropping`, `UpSampling` and `Resizing`, also
    inside nested models. Other layers are assumed to preserve spatial
    positions. Where branches merge, the first input is followed.

    Args:
        tensor: `KerasTensor`, the feature map.
        affine: `KerasTensor` of shape `(batch, d, rank + 1)`, the frame of the
            image, which is the graph's input that the map is computed from.

    Returns:
        `KerasTensor` of shape `(batch, d, rank + 1)`.

    Raises:
        ValueError: if it is unknown how a layer moves the pixels.

    Example: a head that sees the coordinates of the image

    >>> image, affine = keras.Input((64, 64, 3)), keras.Input((2, 3))
    >>> x = keras.layers.Conv2D(32, 3, strides=2, padding="same")(image)
    >>> x = keras.layers.MaxPooling2D()(x)
    >>> head = keras_coordconv.CoordConv2D(8, 1)
    >>> outputs = head(x, affine=keras_coordconv.follow_affine(x, affine))
    >>> model = keras.Model([image, affine], outputs)
    """
    steps: list[dict] = []
    maps = []
    for layer, source, result in _path_to(tensor)[1]:
        step = _step(layer, source, result)
        if step is None:
            continue
        if step["kind"] != "reindex":
            maps.append(source)
        elif steps and steps[-1]["kind"] == "reindex":
            # Two consecutive index maps are merged into one.
            scale, begin = (steps[-1][name] for name in ("scale", "begin"))
            begin = np.multiply(scale, step["begin"]) + begin
            step = _reindex(np.multiply(scale, step["scale"]), begin)
            steps.pop()
        steps.append(step)
    if not steps:
        return affine
    return FollowedAffine(steps)(affine, maps=maps)


def _path_to(tensor):
    """Finds the input that a map is computed from, and the layers in between.

    The layers of nested models are included. If a layer has several inputs, the
    first one is followed.

    Returns:
        Pair of the input, and a list of tuples of a layer, its first input, and
        its output.
    """
    path = []
    while True:
        layer, node, position = tensor._keras_history
        if isinstance(layer, keras.layers.InputLayer):
            return tensor, path[::-1]
        sources = layer._inbound_nodes[node].input_tensors
        source = sources[0]
        if isinstance(layer, keras.Layer) and is_graph(layer):
            inner_input, inner_path = _path_to(layer.outputs[position])
            path += inner_path[::-1]
            (number,) = (
                number
                for number, own in enumerate(layer.inputs)
                if own is inner_input
            )
            source = sources[number]
        else:
            path.append((layer, source, tensor))
        tensor = source


@keras.saving.register_keras_serializable(package="keras_coordconv")
class FollowedAffine(keras.layers.Layer):
    """Layer that computes the frame of a map from the frame of the image.

    Args:
        steps: List of dictionaries, one per step. The `kind` of a step selects
            the function: `"reindex"` for `reindex_affine`, `"conv"` for
            `conv_affine`, `"resize"` for `resize_affine`. The other entries are
            its arguments; the last two functions need the size of a map, in
            which `data_format` gives the axes.
        dtype: The dtype policy. Half precision would round the coordinates.

    Call arguments:
        affine: Tensor of shape `(batch, d, rank + 1)`.
        maps: List of the inputs of all steps that are not `"reindex"`.
    """

    def __init__(self, steps, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.steps = steps
        self._convert_input_args = False

    def call(self, affine, maps=()):
        maps = iter(maps)
        for step in self.steps:
            arguments = dict(step)
            kind = arguments.pop("kind")
            if kind == "reindex":
                affine = reindex_affine(affine, **arguments)
                continue
            size = _size(next(maps), arguments.pop("data_format"))
            function = conv_affine if kind == "conv" else resize_affine
            affine = function(affine, size, **arguments)
        return affine

    def compute_output_shape(self, affine_shape, maps_shape=()):
        return affine_shape

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}


def _step(layer, source, result):
    """Returns the step of a layer, or `None` if it preserves positions.

    Raises:
        ValueError: if it is unknown how the layer moves the pixels.
    """
    data_format = getattr(layer, "data_format", None) or "channels_last"
    size, new_size = (_size(t, data_format) for t in (source, result))
    window = window_arguments(layer)
    if (
        None in size
        and window is not None
        and window["padding"] == "same"
        and np.max(window["strides"]) > 1
    ):
        return {"kind": "conv", "data_format": data_format, **window}
    taps = layer_taps(layer, size)
    if taps is not None:
        up, down, first, last = np.array(taps).T
        return _reindex(down / up, (first + last) / (2 * up))
    if isinstance(layer, keras.layers.Resizing) and not (
        layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio
    ):
        if None in size:
            arguments = {"data_format": data_format, "new_size": list(new_size)}
            return {"kind": "resize", **arguments}
        scale = np.divide(size, new_size)
        return _reindex(scale, (scale - 1) / 2)
    if size == new_size:
        return None
    raise ValueError(
        f"Cannot follow the frame through the layer {layer}: it is unknown how "
        f"it moves the pixels, from size {size} to {new_size}. Pass a frame to "
        "the CoordConv after it, or select other convolutions with `select`."
    )


def _reindex(scale, begin):
    return {"kind": "reindex", "scale": scale.tolist(), "begin": begin.tolist()}


def _size(tensor, data_format):
    """Returns the spatial sizes: integers, or tensors if they are unknown."""
    is_symbolic = isinstance(tensor, keras.KerasTensor)
    shape = tensor.shape if is_symbolic else ops.shape(tensor)
    return tuple(shape[1:-1] if data_format == "channels_last" else shape[2:])
