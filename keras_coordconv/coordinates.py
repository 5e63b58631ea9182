"""Coordinate grids: the one place where coordinates are computed."""

import math
import numbers
from collections.abc import Sequence
from typing import Any
from typing import Literal

import numpy as np
from keras import ops

Pair = tuple[float, float]
# What `coordinate_range`, `radius_center` and a tensor of any backend may be.
CoordinateRange = Pair | Sequence[Pair] | Literal["pixel"]
RadiusCenter = float | Sequence[float] | None
Tensor = Any

DEFAULT_RANGE = (-1.0, 1.0)


def coordinate_grid(
    spatial_shape: Sequence[int | Tensor],
    use_radius: bool = False,
    coordinate_range: CoordinateRange = DEFAULT_RANGE,
    dtype: str = "float32",
    radius_center: RadiusCenter = None,
) -> Tensor:
    """Coordinates of every position of a grid, one channel per axis.

    The channels are in the order of the axes (in 2D: `i`, the row, then `j`,
    the column), followed by the radius if it is asked for. Section 3 and
    Figure 3 of [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    The grid is computed in float32 and cast once, at the end.

    Args:
        spatial_shape: Sequence of positive integers, the size of each axis.
            Scalar integer tensors are accepted for sizes that are known only
            when the graph runs.
        use_radius: Boolean, whether to append a channel with the Euclidean
            distance of each position from the middle of the grid, in the units
            of `coordinate_range`, not rescaled.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last position of every axis; or one such pair per axis;
            or `"pixel"` for 0, 1, 2, ... `first` may be above `last`. An axis
            of size 1 gets the middle of its range (0 in pixels).
        dtype: String, the dtype of the result.
        radius_center: Float, or one float an axis: the point from which the
            radius is measured, in the units of `coordinate_range`. One float is
            the coordinate on every axis. Defaults to the middle of each axis.

    Returns:
        Tensor of shape `(*spatial_shape, channels)`, where `channels` is
        `len(spatial_shape)`, plus 1 with the radius.

    Raises:
        ValueError: if `spatial_shape` is empty or holds a size below 1, or if
            `coordinate_range` or `radius_center` is malformed.

    Example:

    >>> keras_coordconv.coordinate_grid((2, 3))[..., 1]
    [[-1., 0., 1.],
     [-1., 0., 1.]]
    """
    spatial_shape = _standardize_spatial_shape(spatial_shape)
    rank = len(spatial_shape)
    coordinate_range = standardize_coordinate_range(coordinate_range, rank)
    radius_center = standardize_radius_center(radius_center, rank)
    centers = centers_of_axes(radius_center, rank)
    channels, squared_offsets = [], []
    for axis, (size, range_of_axis) in enumerate(
        zip(spatial_shape, ranges_of_axes(coordinate_range, rank), strict=True)
    ):
        coordinates, offsets, middle = _axis_coordinates(size, range_of_axis)
        if radius_center is not None:
            offsets = offsets + (middle - centers[axis])
        # Size 1 on every other axis, so that the axes broadcast.
        along_axis = tuple(
            slice(None) if other == axis else None for other in range(rank)
        )
        channels.append(coordinates[along_axis])
        squared_offsets.append(ops.square(offsets[along_axis]))
    if use_radius:
        channels.append(ops.sqrt(sum(squared_offsets)))
    channels = [ops.broadcast_to(c, spatial_shape) for c in channels]
    return ops.cast(ops.stack(channels, axis=-1), dtype)


def axis_coordinates(size, range_of_axis):
    """Coordinates of the positions of one axis, a float32 vector.

    Args:
        size: Integer, or a scalar integer tensor. An integer gives a NumPy
            array: a constant of the graph.
        range_of_axis: `"pixel"` or a pair `(first, last)`.
    """
    return _axis_coordinates(size, range_of_axis)[0]


def _axis_coordinates(size, range_of_axis):
    """Coordinates, their offsets from the middle of the axis, the middle."""
    if isinstance(size, numbers.Integral):
        xp, last = np, np.float32(size - 1)
    else:
        xp, last = ops, ops.cast(size - 1, "float32")
    index = xp.arange(size, dtype="float32")
    if range_of_axis == "pixel":
        return index, index - last / 2, last / 2
    first_coordinate, last_coordinate = range_of_axis
    middle = (first_coordinate + last_coordinate) / 2
    # Twice the offset over the length of the axis is exact at both ends and
    # symmetric; an axis of one position has length 0 and offset 0.
    unit = (2 * index - last) / xp.maximum(last, 1.0)
    offsets = unit * ((last_coordinate - first_coordinate) / 2)
    return offsets + middle, offsets, middle


def ranges_of_axes(coordinate_range, rank):
    """One range an axis, from a standardized `coordinate_range`."""
    if _is_one_range(coordinate_range):
        return (coordinate_range,) * rank
    return coordinate_range


def standardize_coordinate_range(coordinate_range, rank):
    """Checks a `coordinate_range` argument and brings it to its plain form.

    Args:
        coordinate_range: `"pixel"`, or a pair `(first, last)` of two different
            finite numbers, or one such pair per axis.
        rank: Integer, the number of axes.

    Returns:
        `"pixel"`, a tuple of two Python floats, or a tuple of such tuples.

    Raises:
        ValueError: if it is none of these.
    """
    try:
        if isinstance(coordinate_range, str):
            if coordinate_range == "pixel":
                return coordinate_range
        elif _is_one_range(coordinate_range):
            return _standardize_pair(coordinate_range)
        elif len(coordinate_range) == rank:
            return tuple(_standardize_pair(pair) for pair in coordinate_range)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "`coordinate_range` must be a pair of two different finite numbers "
        f'(first, last), or {rank} such pairs, one per axis, or "pixel". '
        f"Received: coordinate_range={coordinate_range!r}"
    )


def _is_one_range(coordinate_range):
    """Whether the same range is meant for every axis."""
    return isinstance(coordinate_range, str) or all(
        isinstance(bound, numbers.Real) for bound in coordinate_range
    )


def _standardize_pair(pair):
    first, last = pair
    if not (_is_finite_number(first) and _is_finite_number(last)):
        raise TypeError
    first, last = float(first), float(last)
    if first == last:
        raise ValueError
    return first, last


def centers_of_axes(radius_center, rank):
    """One coordinate an axis, from a standardized `radius_center`."""
    if isinstance(radius_center, tuple):
        return radius_center
    return (radius_center,) * rank


def standardize_radius_center(radius_center, rank):
    """Checks a `radius_center` argument and brings it to its plain form.

    Args:
        radius_center: `None`, a finite number, or one such number per axis.
        rank: Integer, the number of axes.

    Returns:
        `None`, a Python float, or a tuple of `rank` floats.

    Raises:
        ValueError: if it is none of these.
    """
    if radius_center is None:
        return None
    if _is_finite_number(radius_center):
        return float(radius_center)
    if (
        isinstance(radius_center, (list, tuple, np.ndarray))
        and len(radius_center) == rank
        and all(map(_is_finite_number, radius_center))
    ):
        return tuple(map(float, radius_center))
    raise ValueError(
        f"`radius_center` must be None, a finite number, or {rank} of them, "
        f"one per axis. Received: radius_center={radius_center!r}"
    )


def coordinate_channels(rank, use_radius):
    """Number of coordinate channels: one per axis, and one for the radius."""
    return rank + int(use_radius)


def _standardize_spatial_shape(spatial_shape):
    sizes = tuple(spatial_shape)
    for size in sizes:
        if isinstance(size, numbers.Integral) and size < 1:
            break
    else:
        if sizes:
            return sizes
    raise ValueError(
        "`spatial_shape` must hold one size per axis, each at least 1. "
        f"Received: spatial_shape={spatial_shape}"
    )


def _is_finite_number(value):
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
