"""The coordinate term of a convolution, in cheaper forms.

A convolution is linear, so

    conv([x, p], [W_x, W_p]) = conv(x, W_x) + conv(p, W_p)

The second term is a convolution of a batch of one. The functions here are
cheaper for kernels of size 1 and for plain coordinates. They compute with
channels last, in float32 (or wider): half precision would round the coordinates
before their differences are taken.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_coordconv.coordinates import axis_coordinates


def pointwise(features, weights, bias, strides):
    """Computes the term and the bias of a kernel of size 1: a matrix product.

    The bias is the weight of an additional channel of ones.

    Args:
        features: Float32 tensor of shape `(batch, *spatial_shape, channels)`,
            of known size.
        weights: Tensor of shape `(1, ..., channels, filters)`.
        bias: Tensor of shape `(filters,)`, or `None`.
        strides: Tuple of integers, one per axis.

    Returns:
        Tensor of shape `(batch, *output_shape, filters)`.
    """
    dtype = wide_dtype(weights)
    weights = ops.cast(ops.reshape(weights, weights.shape[-2:]), dtype)
    steps = (slice(None), *(slice(None, None, step) for step in strides))
    features = ops.cast(features[steps], dtype)
    if bias is not None:
        ones = ops.ones_like(features[..., :1])
        features = ops.concatenate([features, ones], axis=-1)
        bias = ops.expand_dims(ops.cast(bias, dtype), 0)
        weights = ops.concatenate([weights, bias])
    return ops.tensordot(features, weights, axes=1)


def axis_by_axis(spatial_shape, frames, weights, taps_of_axis):
    """Computes the term of plain coordinates, which vary along one axis only.

    It multiplies by one small matrix per axis, which is much faster than a
    convolution of so few channels.

    Args:
        spatial_shape: Tuple of integers.
        frames: From `coordinates.axes_frames`.
        weights: Tensor of shape `(*kernel_size, coordinates, filters)`.
        taps_of_axis: Function from an axis to an integer array of shape
            `(outputs, kernel_size)`, the input positions under the kernel taps.

    Returns:
        Tensor of shape `(1, *output_shape, filters)`.
    """
    dtype = wide_dtype(weights)
    rank, count = len(spatial_shape), len(frames)

    def taps(axis):
        """Returns the factor of each coordinate at each tap along an axis."""
        positions = taps_of_axis(axis)
        inside = (positions >= 0) & (positions < spatial_shape[axis])
        clipped = np.clip(positions, 0, spatial_shape[axis] - 1)
        return [
            (axis_coordinates(spatial_shape[axis], *frame)[0][clipped] * inside)
            if own_axis == axis
            else inside.astype("float32")
            for own_axis, *frame in frames
        ]

    def product(blocks, term):
        """Multiplies matrices over the last two axes and the first two."""
        rows, columns = math.prod(blocks.shape[:2]), math.prod(blocks.shape[2:])
        return ops.matmul(
            ops.convert_to_tensor(blocks.reshape(rows, columns), dtype),
            ops.reshape(term, (columns, -1)),
        )

    # From (*kernel_size, coordinate, filter) to (coordinate, *kernel_size in
    # reverse order, filter). Each iteration replaces the first axis of the
    # kernel by an axis of the output, which goes before the other outputs.
    order = (rank, *reversed(range(rank)), rank + 1)
    term = ops.transpose(ops.cast(weights, dtype), order)
    for axis in reversed(range(1, rank)):
        factors = taps(axis)
        outputs, kernel = factors[0].shape
        blocks = np.zeros((count, outputs, count, kernel), "float32")
        for number, factor in enumerate(factors):
            blocks[number, :, number] = factor
        rest = term.shape[2:]
        term = product(blocks, term)
        term = ops.reshape(term, (count, outputs, *rest))
        left = range(2, 2 + axis)
        order = (0, *left, 1, *range(2 + axis, len(term.shape)))
        term = ops.transpose(term, order)
    blocks = np.stack(taps(0), axis=1)
    outputs = product(blocks[None], term)
    return ops.reshape(outputs, (1, len(blocks), *term.shape[2:]))


def wide_dtype(weights):
    dtype = keras.utils.standardize_dtype(weights.dtype)
    return keras.backend.result_type(dtype, "float32")
