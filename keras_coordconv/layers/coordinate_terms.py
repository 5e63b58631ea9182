"""What the coordinates add to a convolution, in forms that cost less.

A convolution is linear, so

    conv([x, p], [W_x, W_p]) = conv(x, W_x) + conv(p, W_p)

The second term is a convolution of a batch of one. Kernels of one position, and
plain coordinates, have cheaper forms, which are here. All are computed channels
last, in float32 (or wider): in half precision, the coordinates would be rounded
before their differences are taken.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_coordconv.coordinates import axis_coordinates


def pointwise(features, weights, bias, strides):
    """The term and the bias of a kernel of one position: a matrix product.

    The bias is the weight of one more channel, of ones.

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
    """The term of plain coordinates, which each vary along one axis only.

    It is a product with one small matrix per axis, which is much faster than a
    convolution of so few channels.

    Args:
        spatial_shape: Tuple of integers.
        frames: From `coordinates.axes_frames`.
        weights: Tensor of shape `(*kernel_size, coordinates, filters)`.
        taps_of_axis: Function from an axis to the positions, outputs x kernel
            positions, that the kernel meets along it.

    Returns:
        Tensor of shape `(1, *output_shape, filters)`.
    """
    dtype = wide_dtype(weights)
    rank, count = len(spatial_shape), len(frames)

    def taps(axis):
        """For each coordinate, its factor at each tap along an axis."""
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
        """Matrix product over the last two axes and the first two."""
        rows, columns = math.prod(blocks.shape[:2]), math.prod(blocks.shape[2:])
        return ops.matmul(
            ops.convert_to_tensor(blocks.reshape(rows, columns), dtype),
            ops.reshape(term, (columns, -1)),
        )

    # From (*kernel_size, coordinate, filter): the coordinate first, then the
    # axes of the kernel, the last one first. Each turn replaces the first of
    # these by an axis of the output, before the other outputs.
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
