"""Taps: the inputs that each output of a layer depends on.

Along each axis, output `k` depends on the inputs `i` with

    down * k + first <= up * i <= down * k + last

A convolution has `up` = 1, and `down` is its stride; a transposed convolution
has these the other way round.
"""

import keras
import numpy as np

from keras_coordconv.frames import window_taps


def _of_each_rank(name):
    return tuple(
        getattr(keras.layers, name.format(rank)) for rank in ("1D", "2D", "3D")
    )


_TRANSPOSED = _of_each_rank("Conv{}Transpose")
_PADDING = _of_each_rank("ZeroPadding{}")
_CROPPING = _of_each_rank("Cropping{}")
_UPSAMPLING = _of_each_rank("UpSampling{}")
WINDOW_LAYERS = (
    *_of_each_rank("Conv{}"),
    *_of_each_rank("MaxPooling{}"),
    *_of_each_rank("AveragePooling{}"),
    *(*_TRANSPOSED, *_PADDING, *_CROPPING, *_UPSAMPLING),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
)
# Distance in positions of the input that an interpolation stays below.
_REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def layer_taps(layer, size):
    """Returns the taps of a layer.

    Args:
        layer: A Keras layer.
        size: Tuple of integers, the size of each axis of its input. It may be
            `None` if the taps do not depend on it.

    Returns:
        List of `(up, down, first, last)` per axis, or `None` if the layer is
        not a convolution, pooling, padding, cropping or upsampling.
    """
    rank = len(size)
    if isinstance(layer, _TRANSPOSED):
        return [
            (stride, 1, cropped - reach, cropped)
            for stride, reach, cropped in zip(
                layer.strides, *_reach_and_cropped(layer), strict=True
            )
        ]
    if isinstance(layer, _PADDING):
        before = np.reshape(layer.padding, (rank, -1))[:, 0].tolist()
        return [(1, 1, -n, -n) for n in before]
    if isinstance(layer, _CROPPING):
        before = np.reshape(layer.cropping, (rank, -1))[:, 0].tolist()
        return [(1, 1, n, n) for n in before]
    if isinstance(layer, _UPSAMPLING):
        reach = _REACH.get(getattr(layer, "interpolation", "nearest"))
        return [
            _upsampling_taps(times, reach)
            for times in np.broadcast_to(layer.size, rank).tolist()
        ]
    window = window_arguments(layer)
    return None if window is None else window_taps(size, **window)


def window_arguments(layer):
    """Returns the arguments of `conv_affine` for a convolution or pooling."""
    kernel_size = getattr(layer, "kernel_size", getattr(layer, "pool_size", 0))
    if not kernel_size or isinstance(layer, _TRANSPOSED):
        return None
    return {
        "kernel_size": kernel_size,
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": getattr(layer, "dilation_rate", 1),
    }


def _reach_and_cropped(layer):
    """Returns the reach and the cropping of a transposed convolution.

    The reach is the distance over which an input spreads in the output. The
    cropping is the number of outputs that are removed before the first.
    """
    reach = (np.array(layer.kernel_size) - 1) * layer.dilation_rate
    spread = 0 * reach
    if layer.padding == "same" and layer.output_padding is None:
        spread = reach + 1 - layer.strides
    elif layer.padding == "same":
        spread = 2 * ((reach + 1) // 2) - layer.output_padding
    return reach.tolist(), (np.maximum(spread, 0) // 2).tolist()


def _upsampling_taps(times, reach):
    if reach is None:
        return times, 1, 1 - times, 0
    # An open interval around (1 - times) / 2: its first and last integer.
    first = (1 - times - 2 * reach * times) // 2 + 1
    return times, 1, first, 1 - times - first
