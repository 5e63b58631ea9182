"""Coordinates that differ by example: ranges of the axes as an input.

`ranges` has the shape `(batch, rank, 2)`: for each example the coordinates of
the first and of the last position of each axis, in any units.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Tensor
from keras_coordconv.coordinates import axis_coordinates
from keras_coordconv.coordinates import centers_of_axes


def coordinate_grids(
    spatial_shape, ranges, use_radius=False, radius_center=None
):
    """Coordinates of every position, for ranges that differ by example.

    Args:
        spatial_shape, use_radius: As for `coordinate_grid`.
        ranges: Float32 tensor of shape `(batch, rank, 2)`, the coordinates of
            the first and of the last position of each axis.
        radius_center: As for `coordinate_grid`. Defaults to the middle of each
            example's ranges.

    Returns:
        Float32 tensor of shape `(batch, *spatial_shape, channels)`.
    """
    rank = len(spatial_shape)
    first, last = ranges[..., 0], ranges[..., 1]
    halves = ops.split((last - first) / 2, rank, axis=1)
    middles = ops.split((first + last) / 2, rank, axis=1)
    centers = middles
    if radius_center is not None:
        centers = centers_of_axes(radius_center, rank)
    coordinates, squares = [], []
    for axis, size in enumerate(spatial_shape):
        offsets = halves[axis] * axis_coordinates(size, DEFAULT_RANGE)
        coordinates.append(offsets + middles[axis])
        if use_radius:
            from_center = offsets + (middles[axis] - centers[axis])
            squares.append(_along(axis, rank, ops.square(from_center)))
    grids = _grids_of_axes(coordinates, spatial_shape)
    if not use_radius:
        return grids
    radius = ops.expand_dims(ops.sqrt(sum(squares)), -1)
    return ops.concatenate([grids, radius], axis=-1)


def _grids_of_axes(coordinates, spatial_shape):
    """From `(batch, size)` for each axis to grids with a channel an axis.

    Position and channel of the last axis are one long axis here: TensorFlow is
    slow to repeat values along an axis of a few channels.
    """
    rank, length = len(spatial_shape), spatial_shape[-1]
    channels = np.eye(rank, dtype="float32")
    last = ops.expand_dims(coordinates[-1], -1) * channels[-1]
    last = ops.reshape(last, (-1, length * rank))
    grids = _along(rank - 1, rank, last)
    for axis in range(rank - 1):
        mask = ops.reshape(ops.ones((length, 1)) * channels[axis], (-1,))
        grids = grids + _along(axis, rank, coordinates[axis]) * mask
    return ops.reshape(grids, (-1, *spatial_shape, rank))


def _along(axis, rank, vectors):
    """From `(batch, size)` to size 1 on every other axis."""
    others = [1 + other for other in range(rank) if other != axis]
    return ops.expand_dims(vectors, others) if others else vectors


def window_ranges(
    ranges: Tensor,
    size: Sequence[int],
    begin: Sequence[int] | Tensor,
    window: Sequence[int],
) -> Tensor:
    """Ranges of windows into images: crops, tiles, patches of a volume.

    Args:
        ranges: Array or tensor of shape `(batch, rank, 2)`, the coordinates of
            the first and of the last position of each axis of the whole.
        size: Tuple of integers, the size of each axis of the whole.
        begin: Integer array or tensor of shape `(rank,)` or `(batch, rank)`,
            the first position of the window on each axis. It may be outside.
        window: Tuple of integers, the size of each axis of the window.

    Returns:
        Tensor like `ranges`, of what the windows hold.

    Example: the two halves of a map from 40 to 60 degrees north

    >>> whole = np.array([[[60.0, 40.0]]])
    >>> keras_coordconv.window_ranges(whole, (11,), [0], (5,))
    [[[60., 52.]]]
    >>> keras_coordconv.window_ranges(whole, (11,), [6], (5,))
    [[[48., 40.]]]

    A patch of 64 x 64 x 64 of a scan, in millimetres: slices of 2.5 mm, pixels
    of 0.7 mm

    >>> size = np.array((120, 512, 512))
    >>> last = (size - 1) * (2.5, 0.7, 0.7)
    >>> whole = np.stack([0 * last, last], axis=-1)[None]
    >>> keras_coordconv.window_ranges(whole, size, (30, 64, 0), (64, 64, 64))
    [[[75., 232.5], [44.8, 88.9], [0., 44.1]]]
    """
    first = ops.cast(begin, "float32")
    last = first + np.array(window, "float32") - 1
    return ranges_at(ranges, size, first, last)


def flipped_ranges(ranges: Tensor, axes: int | Sequence[int]) -> Tensor:
    """Ranges of images that are flipped along some axes.

    Args:
        ranges: Array or tensor of shape `(batch, rank, 2)`.
        axes: Integer or tuple of integers, the spatial axes, from 0 on.

    Returns:
        Tensor like `ranges`.

    Example:

    >>> keras_coordconv.flipped_ranges(np.array([[[0.0, 5.0], [1, 2]]]), 1)
    [[[0., 5.], [2., 1.]]]
    """
    ranges = ops.convert_to_tensor(ranges)
    is_flipped = np.zeros((ranges.shape[1], 1), "bool")
    is_flipped[np.atleast_1d(axes)] = True
    return ops.where(is_flipped, ops.flip(ranges, axis=-1), ranges)


def resized_ranges(
    ranges: Tensor, size: Sequence[int], new_size: Sequence[int]
) -> Tensor:
    """Ranges of images after they are resized, as `keras.ops.image.resize`.

    The old and the new image cover the same area; their first and last pixels
    have other centres, as the pixels have another size.

    Args:
        ranges: Array or tensor of shape `(batch, rank, 2)`.
        size: Tuple of integers, the size of each axis before.
        new_size: Tuple of integers, the size of each axis after.

    Returns:
        Tensor like `ranges`.

    Example:

    >>> keras_coordconv.resized_ranges(np.array([[[0.0, 7.0]]]), (8,), (4,))
    [[[0.5, 6.5]]]
    """
    return ranges_at(ranges, size, *ends_after_resizing(size, new_size))


def strided_ranges(
    ranges: Tensor,
    size: Sequence[int],
    kernel_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Ranges of the outputs of a convolution or pooling, from its inputs'.

    The coordinate of an output is that of the centre of what it sees. A layer
    that comes later gets the same coordinates of the world with these ranges.

    Args:
        ranges: Array or tensor of shape `(batch, rank, 2)`, the coordinates of
            the first and of the last input position of each axis.
        size: Tuple of integers, the size of each axis of the input.
        kernel_size, strides, dilation_rate: Integer or tuple of integers, one
            an axis, as of the layer.
        padding: String, `"valid"`, `"same"` or `"causal"`.

    Returns:
        Tensor like `ranges`.

    Raises:
        ValueError: if `padding` is none of these, or if a kernel is larger
            than the input with `"valid"`.

    Example:

    >>> ranges = np.array([[[0.0, 7.0]]])
    >>> keras_coordconv.strided_ranges(ranges, (8,), 2, strides=2)
    [[[0.5, 6.5]]]

    A second CoordConv, deeper in a net, with the coordinates of the first:

    >>> image, ranges = keras.Input((64, 64, 3)), keras.Input((2, 2))
    >>> x = keras_coordconv.CoordConv2D(32, 3, strides=2)([image, ranges])
    >>> deeper = keras_coordconv.strided_ranges(ranges, (64, 64), 3, strides=2)
    >>> x = keras_coordconv.CoordConv2D(64, 3)([x, deeper])
    """
    first, last = np.zeros((2, len(size)), "float32")
    arguments: list[Any] = [
        (value,) * len(size) if isinstance(value, numbers.Integral) else value
        for value in (kernel_size, strides, dilation_rate)
    ]
    for axis, (n, kernel, stride, dilation) in enumerate(
        zip(size, *arguments, strict=True)
    ):
        extent = (kernel - 1) * dilation + 1
        if padding == "same":
            outputs = -(-n // stride)
            padded = max((outputs - 1) * stride + extent - n, 0) // 2
        elif padding == "causal":
            outputs = -(-n // stride)
            padded = extent - 1
        elif padding == "valid" and extent <= n:
            outputs = (n - extent) // stride + 1
            padded = 0
        else:
            raise ValueError(
                '`padding` must be "same", "causal", or "valid" with kernels '
                "that are within the input. "
                f"Received: padding={padding!r} with a kernel over {extent} "
                f"of {n} positions"
            )
        first[axis] = (extent - 1) / 2 - padded
        last[axis] = first[axis] + (outputs - 1) * stride
    return ranges_at(ranges, size, first, last)


def check_ranges(ranges, batch, spatial_shape):
    """Checks the ranges of the examples, as far as they are known.

    Args:
        ranges: Tensor that should have the shape `(batch, rank, 2)`.
        batch: Integer, or `None` or a tensor where it is not known.
        spatial_shape: Sequence of integers, or tensors where not known.

    Raises:
        ValueError: if the shape is another one; outside of a graph also if a
            bound is not finite, or if both bounds of an axis longer than 1 are
            the same.
    """
    rank = len(spatial_shape)
    shape = tuple(ranges.shape)
    if (
        len(shape) != 3
        or shape[1:] != (rank, 2)
        or (isinstance(batch, int) and shape[0] not in (None, batch))
    ):
        raise ValueError(
            "The ranges must have the shape (batch, axes, 2): of each example "
            "the coordinates of the first and of the last position of each "
            f"axis. Received: ranges of shape {shape} for a batch of {batch} "
            f"with {rank} spatial {'axis' if rank == 1 else 'axes'}"
        )
    try:
        values = np.asarray(ranges)
    except Exception:
        return  # In a graph there are no values.
    longer = [isinstance(n, int) and n > 1 for n in spatial_shape]
    if not np.isfinite(values).all() or np.any(
        (values[..., 0] == values[..., 1]) & longer
    ):
        raise ValueError(
            "The ranges must be finite, with different coordinates at the two "
            f"ends of an axis. Received: ranges={values.tolist()}"
        )


def as_floats(size):
    """Sizes of axes: a float32 array, or a tensor where one is not known."""
    if all(isinstance(count, numbers.Integral) for count in size):
        return np.array(size, "float32")
    return ops.cast(ops.stack(size), "float32")


def ends_after_resizing(size, new_size):
    """Where the centres of the first and of the last new pixel are."""
    size = as_floats(size)
    first = size / as_floats(new_size) / 2 - 0.5
    return first, size - 1 - first


def ranges_at(ranges, size, first, last):
    """Coordinates at two positions of each axis, which may be fractions.

    The only position of an axis has the middle of its range, and so has all
    that is outside of it.
    """
    size = as_floats(size)
    ranges = ops.cast(ranges, "float32")
    low, high = ranges[..., 0], ranges[..., 1]
    positions = [
        ops.where(
            size > 1,
            ops.cast(place, "float32") / ops.maximum(size - 1, 1.0),
            0.5,
        )
        for place in (first, last)
    ]
    return ops.stack([low + (high - low) * at for at in positions], axis=-1)
