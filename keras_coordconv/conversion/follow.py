"""Follows frames through a Functional graph, from an image to a feature map."""

import keras
import numpy as np
from keras import ops

from keras_coordconv.conversion.clone import is_graph
from keras_coordconv.coordinates import Tensor
from keras_coordconv.frames import padding_before
from keras_coordconv.frames import reindex_affine
from keras_coordconv.frames import stack_numbers


def _of_each_rank(name):
    return tuple(
        getattr(keras.layers, name.format(rank)) for rank in ("1D", "2D", "3D")
    )


_TRANSPOSED = _of_each_rank("Conv{}Transpose")
_PADDING = _of_each_rank("ZeroPadding{}")
_CROPPING = _of_each_rank("Cropping{}")
_UPSAMPLING = _of_each_rank("UpSampling{}")


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
    for layer, source, result in layers_before(tensor):
        step = _step(layer, source, result)
        if step is None:
            continue
        if step["kind"] != "reindex":
            maps.append(source)
        elif steps and steps[-1]["kind"] == "reindex":
            step = _compose(steps.pop(), step)
        steps.append(step)
    if not steps:
        return affine
    return FollowedAffine(steps)(affine, maps=maps)


def layers_before(tensor):
    """The layers that a map is computed by, from the graph's input on.

    Nested models are followed inside. Where a layer has several inputs, the
    first one is followed.

    Args:
        tensor: `KerasTensor`.

    Returns:
        List of tuples of a layer, its first input, and its output.
    """
    return _path_to(tensor)[1]


def _path_to(tensor):
    """The input that a map is made from, and the layers on the way."""
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
        steps: List of dictionaries, each with its `kind`:

            - `"reindex"`: index `k` was `scale * k + begin` before,
            - `"window"`: a convolution or pooling with `padding="same"`, whose
              padding depends on the size of its input,
            - `"resize"`: a resizing to `new_size`.
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
            if step["kind"] == "reindex":
                index_map = step["scale"], step["begin"]
            else:
                size = _size(next(maps), step["data_format"])
                index_map = _index_map(step, size)
            affine = reindex_affine(affine, *map(stack_numbers, index_map))
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
    data_format = getattr(layer, "data_format", None)
    if data_format is None:
        data_format = "channels_last"
    size, new_size = _size(source, data_format), _size(result, data_format)
    rank = len(size)
    if isinstance(layer, _TRANSPOSED):
        scale = 1 / np.array(layer.strides)
        reach = (np.array(layer.kernel_size) - 1) * layer.dilation_rate
        return _reindex(scale, (_cropped_before(layer) - reach / 2) * scale)
    if isinstance(layer, _PADDING):
        return _reindex(
            np.ones(rank), -np.reshape(layer.padding, (rank, -1))[:, 0]
        )
    if isinstance(layer, _CROPPING):
        return _reindex(
            np.ones(rank), np.reshape(layer.cropping, (rank, -1))[:, 0]
        )
    if isinstance(layer, _UPSAMPLING):
        scale = 1 / np.broadcast_to(layer.size, rank)
        return _reindex(scale, (scale - 1) / 2)
    step = None
    if isinstance(layer, keras.layers.Resizing) and not (
        layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio
    ):
        step = {"kind": "resize", "new_size": list(new_size)}
    elif hasattr(layer, "kernel_size") or hasattr(layer, "pool_size"):
        step = _window_step(layer)
    if step is not None:
        step["data_format"] = data_format
        if None in size and _depends_on_size(step):
            return step
        return _reindex(*_index_map(step, size))
    if rank == len(new_size) and size == new_size:
        return None
    raise ValueError(
        "Cannot follow the frame of an image through a layer that moves pixels "
        f"in a way that is not known. Received: layer={layer} from size {size} "
        f"to {new_size}. Give the CoordConv behind it a frame of its own, or "
        "choose other convolutions with `select`."
    )


def _window_step(layer):
    kernel_size = getattr(layer, "kernel_size", None)
    if kernel_size is None:
        kernel_size = layer.pool_size
    dilation_rate = getattr(layer, "dilation_rate", 1)
    rank = len(kernel_size)
    return {
        "kind": "window",
        "kernel_size": list(kernel_size),
        "strides": np.broadcast_to(layer.strides, rank).tolist(),
        "dilation_rate": np.broadcast_to(dilation_rate, rank).tolist(),
        "padding": layer.padding,
    }


def _depends_on_size(step):
    return step["kind"] == "resize" or (
        step["padding"] == "same" and max(step["strides"]) > 1
    )


def _index_map(step, size):
    """Scale and begin per axis, at a size that may be tensors."""
    if step["kind"] == "resize":
        scale = [
            (n if isinstance(n, int) else ops.cast(n, "float32")) / new_n
            for n, new_n in zip(size, step["new_size"], strict=True)
        ]
        return scale, [(s - 1) / 2 for s in scale]
    begin = []
    for n, kernel, stride, dilation in zip(
        size,
        step["kernel_size"],
        step["strides"],
        step["dilation_rate"],
        strict=True,
    ):
        before = padding_before(n, kernel, stride, dilation, step["padding"])
        begin.append((kernel - 1) * dilation / 2 - before)
    return step["strides"], begin


def _cropped_before(layer):
    """Positions that a transposed convolution crops before its first output."""
    reach = (np.array(layer.kernel_size) - 1) * layer.dilation_rate
    if layer.padding == "valid":
        return np.zeros(len(reach))
    spread = reach + 1 - np.array(layer.strides)
    if layer.output_padding is not None:
        spread = 2 * ((reach + 1) // 2) - np.array(layer.output_padding)
    return np.maximum(spread, 0) // 2


def _reindex(scale, begin):
    return {
        "kind": "reindex",
        "scale": np.asarray(scale, "float64").tolist(),
        "begin": np.asarray(begin, "float64").tolist(),
    }


def _compose(first, second):
    """One step for two: the second one's index, in that before the first."""
    scale, begin = np.array(first["scale"]), np.array(first["begin"])
    return _reindex(scale * second["scale"], scale * second["begin"] + begin)


def _size(tensor, data_format):
    """Size of each spatial axis: integers, or tensors where it is unknown."""
    shape = (
        tensor.shape
        if isinstance(tensor, keras.KerasTensor)
        else ops.shape(tensor)
    )
    if data_format == "channels_last":
        return tuple(shape[1:-1])
    return tuple(shape[2:])
