"""Convolutions of any kind and rank in plain NumPy, with their gradients.

A convolution is a sum over products of inputs and kernel. Which position of the
kernel meets which input for which output is written down once for each axis, as
an array of zeros and ones: with it, the inputs of each output are laid side by
side, and the sum is a product of two matrices.
"""

import math

import numpy as np


def taps(size, kernel_size, stride=1, dilation=1, padding="valid"):
    """Which position of a kernel meets which input for which output.

    Returns:
        Array of zeros and ones of shape `(outputs, kernel_size, size)`.
    """
    extent = (kernel_size - 1) * dilation + 1
    if padding == "same":
        # As few zeros as give one output a stride, the odd one at the end.
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + extent - size, 0) // 2
    else:
        before = extent - 1 if padding == "causal" else 0
        outputs = (before + size - extent) // stride + 1
    result = np.zeros((outputs, kernel_size, size))
    for output in range(outputs):
        for tap in range(kernel_size):
            position = output * stride + tap * dilation - before
            if 0 <= position < size:
                result[output, tap, position] = 1
    return result


def transposed_taps(
    size,
    kernel_size,
    stride=1,
    dilation=1,
    padding="valid",
    output_padding=None,
):
    """As `taps`, for the convolution that goes from the outputs to the inputs.

    Each input spreads over the outputs that its own window would cover.
    """
    extent = (kernel_size - 1) * dilation + 1
    spread = (size - 1) * stride + extent
    if output_padding is not None:
        cropped = 2 * (extent // 2) if padding == "same" else 0
        outputs = spread - cropped + output_padding
    elif padding == "same":
        outputs = size * stride
    else:
        outputs = spread + max(stride - extent, 0)
    before = max(spread - outputs, 0) // 2 if padding == "same" else 0
    result = np.zeros((outputs, kernel_size, size))
    for position in range(size):
        for tap in range(kernel_size):
            output = position * stride + tap * dilation - before
            if 0 <= output < outputs:
                result[output, tap, position] = 1
    return result


def convolve(inputs, kernel, axes):
    """Convolution of groups of channels.

    Args:
        inputs: Array of shape `(batch, *sizes, groups, channels)`.
        kernel: Array of shape `(*kernel_size, channels, groups, filters)`.
        axes: List, what `taps` or `transposed_taps` gives for each axis.

    Returns:
        Array of shape `(batch, *outputs, groups, filters)`.
    """
    met = _met_inputs(inputs, axes)
    shape = (*met.shape[: 2 + len(axes)], kernel.shape[-1])
    outputs = _matrices(met, kernel) @ _kernel_matrices(kernel)
    return np.moveaxis(outputs.reshape(shape), 0, -2)


def gradients(inputs, kernel, axes, output_gradient):
    """Gradients of the inputs and of the kernel of `convolve`."""
    met = _met_inputs(inputs, axes)
    groups, filters = output_gradient.shape[-2:]
    gradient = np.moveaxis(output_gradient, -2, 0).reshape(groups, -1, filters)
    by_kernel = np.swapaxes(_matrices(met, kernel), 1, 2) @ gradient
    by_kernel = by_kernel.reshape(groups, *kernel.shape[:-2], filters)
    by_input = gradient @ np.swapaxes(_kernel_matrices(kernel), 1, 2)
    by_input = by_input.reshape(met.shape)
    # The way of `_met_inputs` back.
    rank = len(axes)
    pairs = [
        axis for pair in range(2, 2 + rank) for axis in (pair, pair + rank)
    ]
    by_input = by_input.transpose(1, 0, -1, *pairs)
    for axis in axes:
        by_input = np.tensordot(by_input, axis, axes=((3, 4), (0, 1)))
    by_input = np.moveaxis(by_input, (1, 2), (-2, -1))
    return by_input, np.moveaxis(by_kernel, 0, -2)


def _met_inputs(inputs, axes):
    """What each output meets at each position of the kernel.

    Returns:
        Array of shape `(groups, batch, *outputs, *kernel_size, channels)`.
    """
    for axis in axes:
        # The first of the axes that are left becomes the last two.
        inputs = np.tensordot(inputs, axis, axes=(1, 2))
    # (batch, groups, channels, outputs, kernel_size, outputs, ...)
    return inputs.transpose(
        1, 0, *range(3, inputs.ndim, 2), *range(4, inputs.ndim, 2), 2
    )


def _matrices(met, kernel):
    """`_met_inputs` as matrices of one row an output, one for each group."""
    return met.reshape(len(met), -1, math.prod(kernel.shape[:-2]))


def _kernel_matrices(kernel):
    groups, filters = kernel.shape[-2:]
    return np.moveaxis(kernel, -2, 0).reshape(groups, -1, filters)
