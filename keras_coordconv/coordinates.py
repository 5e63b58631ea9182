"""Coordinate grids: the one place where coordinates are computed."""

import math
import numbers

from keras import ops

DEFAULT_RANGE = (-1.0, 1.0)


def coordinate_grid(
    spatial_shape,
    use_radius=False,
    coordinate_range=DEFAULT_RANGE,
    dtype="float32",
    radius_center=None,
):
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
        coordinate_range: Pair `(low, high)`, the coordinates of the first and
            of the last position of every axis, or `"pixel"` for 0, 1, 2, ...
            An axis of size 1 gets the middle of the range (0 in pixels).
        dtype: String, the dtype of the result.
        radius_center: Float, the coordinate from which the radius is measured
            on every axis. Defaults to the middle of each axis.

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
    coordinate_range = standardize_coordinate_range(coordinate_range)
    radius_center = standardize_radius_center(radius_center)
    spatial_shape = _standardize_spatial_shape(spatial_shape)
    rank = len(spatial_shape)
    channels = []
    squared_offsets = []
    for axis, size in enumerate(spatial_shape):
        middle, offsets = _axis_coordinates(size, coordinate_range)
        # Size 1 on every other axis, so that the axes broadcast.
        shape = [-1 if other == axis else 1 for other in range(rank)]
        channels.append(ops.reshape(middle + offsets, shape))
        if radius_center is not None:
            offsets = offsets + (middle - radius_center)
        squared_offsets.append(ops.reshape(ops.square(offsets), shape))
    if use_radius:
        channels.append(ops.sqrt(sum(squared_offsets)))
    channels = [ops.broadcast_to(c, spatial_shape) for c in channels]
    return ops.cast(ops.stack(channels, axis=-1), dtype)


def standardize_coordinate_range(coordinate_range):
    """Checks a `coordinate_range` argument and brings it to its plain form.

    Args:
        coordinate_range: `"pixel"`, or a pair of finite numbers `(low, high)`
            with `low < high`.

    Returns:
        `"pixel"`, or a tuple of two Python floats.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(coordinate_range, str):
        valid = coordinate_range == "pixel"
    else:
        try:
            low, high = coordinate_range
        except (TypeError, ValueError):
            valid = False
        else:
            valid = (
                all(_is_finite_number(bound) for bound in (low, high))
                and low < high
            )
    if not valid:
        raise ValueError(
            "`coordinate_range` must be a pair of finite numbers (low, high) "
            'with low < high, or "pixel". '
            f"Received: coordinate_range={coordinate_range!r}"
        )
    if isinstance(coordinate_range, str):
        return coordinate_range
    return (float(low), float(high))


def standardize_radius_center(radius_center):
    """Checks a `radius_center` argument: a finite number or `None`.

    Raises:
        ValueError: if it is neither.
    """
    if radius_center is None:
        return None
    if not _is_finite_number(radius_center):
        raise ValueError(
            "`radius_center` must be a finite number or None. "
            f"Received: radius_center={radius_center!r}"
        )
    return float(radius_center)


def coordinate_channels(rank, use_radius):
    """Number of coordinate channels: one per axis, and one for the radius."""
    return rank + int(use_radius)


def _axis_coordinates(size, coordinate_range):
    """Middle of an axis, and the offset of each position from it."""
    index = ops.arange(size, dtype="float32")
    last = ops.cast(size - 1, "float32")
    if coordinate_range == "pixel":
        return last / 2, index - last / 2
    low, high = coordinate_range
    # Twice the offset over the length of the axis is exact at both ends and
    # symmetric; an axis of one position has length 0 and offset 0.
    unit = (2 * index - last) / ops.maximum(last, 1.0)
    return (low + high) / 2, unit * ((high - low) / 2)


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
