"""Where the ranges of an image lead in a graph of Keras layers."""

import keras
import numpy as np
from keras import ops

from keras_coordconv.ranges import ranges_at
from keras_coordconv.ranges import resized_ranges
from keras_coordconv.ranges import strided_ranges
from keras_coordconv.ranges import window_ranges


def _of_each_rank(name):
    return tuple(
        getattr(keras.layers, name.format(rank)) for rank in ("1D", "2D", "3D")
    )


_TRANSPOSED = _of_each_rank("Conv{}Transpose")
_PADDING = _of_each_rank("ZeroPadding{}")
_CROPPING = _of_each_rank("Cropping{}")
_UPSAMPLING = _of_each_rank("UpSampling{}")


class GraphRanges:
    """Ranges of the maps of a net, as tensors of its graph."""

    def __init__(self):
        self._known = {}

    def of(self, tensor, ranges, data_format):
        """Ranges of a map in a graph of layers.

        Args:
            tensor: `KerasTensor`, the map.
            ranges: `KerasTensor` of shape `(batch, rank, 2)`, the ranges of the
                image: of the input of the graph that the map is made from.
            data_format: String, that of image and map.

        Returns:
            `KerasTensor` like `ranges`.

        Raises:
            ValueError: if a layer on the way moves the pixels in a way that is
                not known.
        """
        image, ends = _image_and_ends(tensor, data_format)
        if ends is None:
            return ranges
        key = id(image), ends.tobytes()
        if key not in self._known:
            self._known[key] = ranges_at(
                ranges, _size(image, data_format), ends[..., 0], ends[..., 1]
            )
        return self._known[key]


def _image_and_ends(tensor, data_format):
    """The input that a map is made from, and where in it the map ends.

    Returns:
        Pair of a `KerasTensor` and of an array of shape `(rank, 2)`: the pixel
        of the first and of the last position of each axis, or `None` if these
        are the first and the last pixel.
    """
    steps = []
    while True:
        operation, node, _ = tensor._keras_history
        if isinstance(operation, keras.layers.InputLayer):
            break
        source = operation._inbound_nodes[node].input_tensors[0]
        steps.append((operation, source, tensor))
        tensor = source
    ends = None
    for operation, source, result in reversed(steps):
        size, new_size = _size(source, data_format), _size(result, data_format)
        if _keeps_places(operation, size, new_size):
            continue
        if ends is None and None not in size:
            ends = np.array([[0, n - 1] for n in size], "float32")
        ends = _ends_after(operation, ends, size, new_size)
    return tensor, ends


def _size(tensor, data_format):
    """Size of each spatial axis, `None` where it is not known."""
    if data_format == "channels_last":
        return tuple(tensor.shape[1:-1])
    return tuple(tensor.shape[2:])


def _kernel_of(operation):
    """What a layer's outputs see, as arguments of `strided_ranges`."""
    if hasattr(operation, "pool_size"):
        return {
            "kernel_size": operation.pool_size,
            "strides": operation.strides,
            "padding": operation.padding,
        }
    if hasattr(operation, "kernel_size") and not isinstance(
        operation, _TRANSPOSED
    ):
        return {
            "kernel_size": operation.kernel_size,
            "strides": operation.strides,
            "padding": operation.padding,
            "dilation_rate": operation.dilation_rate,
        }
    return None


def _keeps_places(operation, size, new_size):
    """Whether each position of a map is where it was before an operation."""
    kernel = _kernel_of(operation)
    if kernel is None:
        return size == new_size and not isinstance(
            operation, (*_PADDING, *_CROPPING, *_UPSAMPLING)
        )
    extents = (np.array(kernel["kernel_size"]) - 1) * np.array(
        kernel.get("dilation_rate", 1)
    )
    return np.all(np.array(kernel["strides"]) == 1) and (
        not extents.any()
        or (kernel["padding"] == "same" and not np.any(extents % 2))
    )


def _ends_after(operation, ends, size, new_size):
    """Where the outputs of an operation end, from where its inputs do."""
    if ends is not None and None not in (*size, *new_size):
        before = ends[None]
        kernel = _kernel_of(operation)
        if kernel is not None:
            after = strided_ranges(before, size, **kernel)
        elif isinstance(operation, _PADDING):
            begin = -np.reshape(operation.padding, (-1, 2))[:, 0]
            after = window_ranges(before, size, begin, new_size)
        elif isinstance(operation, _CROPPING):
            begin = np.reshape(operation.cropping, (-1, 2))[:, 0]
            after = window_ranges(before, size, begin, new_size)
        elif isinstance(operation, _UPSAMPLING):
            after = resized_ranges(before, size, new_size)
        else:
            after = None
        if after is not None:
            return ops.convert_to_numpy(after)[0]
    raise ValueError(
        "Between the image and a convolution that is to get its ranges, there "
        "may be layers that keep the size of a map, and convolutions, "
        "poolings, ZeroPadding, Cropping and UpSampling of maps of known "
        f"size. Received: layer={operation} from size {size} to {new_size}. "
        "Choose other convolutions with `select`, or give the model a "
        "keras.Input of known size."
    )
