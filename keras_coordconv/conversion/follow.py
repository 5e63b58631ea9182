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
    """The frame of a feature map of a Functional graph.

    The coordinates of a position of the map are those of the center of its
    receptive field. The frame is followed through convolutions, transposed
    convolutions, poolings, `ZeroPadding`, `Cropping`, `UpSampling` and
    `Resizing`, also inside nested models. Other layers are assumed to preserve
    spatial positions. Where branches merge, the first input is followed.

    Args:
        tensor: `KerasTensor`, the map.
        affine: `KerasTensor` of shape `(batch, d, rank + 1)`, the frame of the
            image: of the input of the graph that the map is computed from.

    Returns:
        `KerasTensor` of shape `(batch, d, rank + 1)`.

    Raises:
        ValueError: if a layer moves the pixels in a way that is not known.

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
            # One step for two: the second one's index, in that of the first.
            scale, begin = (steps[-1][name] for name in ("scale", "begin"))
            begin = np.multiply(scale, step["begin"]) + begin
            step = _reindex(np.multiply(scale, step["scale"]), begin)
            steps.pop()
        steps.append(step)
    if not steps:
        return affine
    return FollowedAffine(steps)(affine, maps=maps)


def _path_to(tensor):
    """The input that a map is made from, and the layers on the way.

    Nested models are followed inside. Where a layer has several inputs, the
    first one is followed.

    Returns:
        The input, and a list of tuples of a layer, its first input, and its
        output.
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
    """The frame of a map, from the image's: what `follow_affine` computes.

    Args:
        steps: List of dictionaries: the `kind` of a step, which is `"reindex"`,
            `"conv"` or `"resize"`, and the arguments of the function of frames
            of that name. The last two depend on the size of a map, which has a
            `data_format`.
        dtype: The dtype policy. Half precision would round the coordinates.

    Call arguments:
        affine: Tensor of shape `(batch, d, rank + 1)`.
        maps: List of the inputs of the steps that are no `"reindex"`.
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
    """What a layer does to the index, or `None` if it keeps it.

    Raises:
        ValueError: if that is not known.
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
        "Cannot follow the frame of an image through a layer that moves pixels "
        f"in a way that is not known. Received: layer={layer} from size {size} "
        f"to {new_size}. Give the CoordConv behind it a frame of its own, or "
        "choose other convolutions with `select`."
    )


def _reindex(scale, begin):
    return {"kind": "reindex", "scale": scale.tolist(), "begin": begin.tolist()}


def _size(tensor, data_format):
    """Size of each spatial axis: integers, or tensors where it is unknown."""
    is_symbolic = isinstance(tensor, keras.KerasTensor)
    shape = tensor.shape if is_symbolic else ops.shape(tensor)
    return tuple(shape[1:-1] if data_format == "channels_last" else shape[2:])
