"""Computes coordinates. No other module does.

The channels of a position are `encoding(affine @ [index, 1])`: a frame maps its
index in the grid to coordinates, and an encoding maps these to features. A
layer has its own frame (`coordinate_range`, `align`, `axes`), which an `affine`
per example, or the coordinates themselves, can replace.
"""

import numbers
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Literal

import keras
import numpy as np
from keras import ops

Pair = tuple[float, float]
# Types of the layers' arguments, and of tensors of any backend.
CoordinateRange = Pair | Sequence[Pair] | Literal["pixel"]
Align = Literal["centers", "edges", "period"]
Axes = Sequence[int] | None
RadiusCenter = float | Sequence[float] | None
Tensor = Any
Encoding = Callable[[Tensor], Tensor] | None

DEFAULT_RANGE = (-1.0, 1.0)
ALIGNMENTS = ("centers", "edges", "period")


def coordinate_grid(
    spatial_shape: Sequence[int | Tensor],
    *,
    use_radius: bool = False,
    coordinate_range: CoordinateRange = DEFAULT_RANGE,
    align: Align = "centers",
    axes: Axes = None,
    radius_center: RadiusCenter = None,
    encoding: Encoding = None,
    affine: Tensor = None,
    dtype: str = "float32",
) -> Tensor:
    """Computes the coordinates of every position of a grid, as channels.

    The channels are in the order of the axes (in 2D: `i`, the row, then `j`,
    the column), followed by the radius if `use_radius` is `True`. Section 3 and
    Figure 3 of [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    The grid is computed in float32 and cast once, at the end.

    Args:
        spatial_shape: Sequence of positive integers, the size of each axis.
            Scalar integer tensors are accepted for sizes that are known only
            when the graph runs.
        use_radius, coordinate_range, align, axes, radius_center, encoding: As
            for `CoordConv2D`.
        affine: Float tensor of shape `(batch, d, rank + 1)`. The coordinates of
            index `k` are `affine @ [k, 1]`. It replaces `coordinate_range`,
            `align` and `axes`.
        dtype: String, the floating-point dtype of the result.

    Returns:
        Tensor of shape `(*spatial_shape, channels)`; with `affine`, of shape
        `(batch, *spatial_shape, channels)`.

    Raises:
        ValueError: if an argument is malformed.

    Example:

    >>> keras_coordconv.coordinate_grid((2, 3))[..., 1]
    [[-1., 0., 1.],
     [-1., 0., 1.]]
    """
    check_float_dtype(dtype)
    shape = _standardize_spatial_shape(spatial_shape)
    arguments = (use_radius, radius_center, encoding)
    if affine is None:
        axes = standardize_axes(axes, len(shape))
        frames = axes_frames(coordinate_range, align, axes)
        features = features_of_range(shape, frames, *arguments)
    else:
        affine = standardize_frame("affine", affine, ("d", len(shape) + 1))
        features = features_of_affine(shape, affine, *arguments)
    return ops.cast(features, dtype)


def check_float_dtype(dtype):
    """Raises a `ValueError` if a dtype is not floating-point."""
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(
            "Coordinates must have a floating-point dtype. "
            f"Received: dtype={dtype!r}"
        )


def axes_frames(coordinate_range, align, axes):
    """Returns the range and alignment of each axis that has a coordinate.

    Args:
        coordinate_range, align: As for `coordinate_grid`.
        axes: From `standardize_axes`.

    Returns:
        Tuple of `(axis, range, align)`, where the range is a pair or `"pixel"`.

    Raises:
        ValueError: if `coordinate_range` or `align` is malformed.
    """
    if align not in ALIGNMENTS:
        raise ValueError(
            f"`align` must be one of {', '.join(map(repr, ALIGNMENTS))}. "
            f"Received: align={align!r}"
        )
    ranges = standardize_coordinate_range(coordinate_range, len(axes))
    if _is_one_range(ranges):
        ranges = (ranges,) * len(axes)
    return tuple(
        (axis, own, align) for axis, own in zip(axes, ranges, strict=True)
    )


def features_of_range(
    spatial_shape, frames, use_radius=False, radius_center=None, encoding=None
):
    """Computes the features of a grid in the frame of a layer.

    Args:
        spatial_shape: Sequence of integers or scalar tensors.
        frames: From `axes_frames`.
        use_radius, radius_center, encoding: As for `coordinate_grid`.

    Returns:
        Float32 tensor of shape `(*spatial_shape, channels)`.
    """
    rank = len(spatial_shape)
    centers = standardize_radius_center(radius_center, len(frames))
    if not isinstance(centers, tuple):
        centers = (centers,) * len(frames)
    channels, squares = [], []
    for (axis, *frame), center in zip(frames, centers, strict=True):
        coordinates, offsets, middle = axis_coordinates(
            spatial_shape[axis], *frame
        )
        channels.append(_along(axis, rank, coordinates))
        if use_radius:
            if center is not None:
                offsets = offsets + (middle - center)
            squares.append(_along(axis, rank, offsets * offsets))
    channels = [ops.broadcast_to(c, spatial_shape) for c in channels]
    radius = None
    if use_radius:
        radius = ops.broadcast_to(ops.sqrt(sum(squares)), spatial_shape)
    return _encode(ops.stack(channels, axis=-1), encoding, radius)


def features_of_affine(
    spatial_shape, affine, use_radius=False, radius_center=None, encoding=None
):
    """Computes the features of a grid in the frame of each example.

    Args:
        spatial_shape: Sequence of integers or scalar tensors.
        affine: Float32 tensor of shape `(batch, d, rank + 1)`.
        use_radius, radius_center, encoding: As for `coordinate_grid`.

    Returns:
        Float32 tensor of shape `(batch, *spatial_shape, channels)`.
    """
    steps, origin = affine[..., :-1], affine[..., -1]
    # Relative to the middle of the grid, since large coordinates lose digits.
    indices, middle = [], origin
    for axis, size in enumerate(spatial_shape):
        _, offsets, middle_index = axis_coordinates(size, "pixel", "centers")
        indices.append(ops.convert_to_tensor(offsets))
        middle = middle + steps[..., axis] * middle_index
    coordinates = _affine_grid(indices, spatial_shape, steps, middle)
    radius = None
    if use_radius:
        offset = ops.zeros_like(middle)
        if radius_center is not None:
            center = standardize_radius_center(radius_center, affine.shape[-2])
            offset = middle - ops.convert_to_tensor(center, "float32")
        radius = _norm(_affine_grid(indices, spatial_shape, steps, offset))
    return _encode(coordinates, encoding, radius)


def features_of_maps(
    coordinates, use_radius=False, radius_center=None, encoding=None
):
    """Computes the features of given coordinates.

    Args:
        coordinates: Float32 tensor of shape `(batch, *spatial_shape, d)`.
        use_radius, radius_center, encoding: As for `coordinate_grid`. The
            radius needs a `radius_center`.

    Returns:
        Float32 tensor of shape `(batch, *spatial_shape, channels)`.
    """
    radius = None
    if use_radius:
        if radius_center is None:
            raise ValueError(
                "If `coordinates` are passed, the radius needs a "
                "`radius_center`. Received: radius_center=None"
            )
        center = standardize_radius_center(radius_center, coordinates.shape[-1])
        radius = _norm(coordinates - ops.convert_to_tensor(center, "float32"))
    return _encode(coordinates, encoding, radius)


def axis_coordinates(size, coordinate_range, align):
    """Computes the coordinates of the positions of one axis.

    Args:
        size: Integer or scalar integer tensor. With an integer, the results are
            NumPy arrays, which are constants in a graph.
        coordinate_range: `"pixel"` or a pair `(first, last)`.
        align: One of `ALIGNMENTS`.

    Returns:
        Tuple of the float32 vectors of the coordinates and of their offsets
        from the middle of the range, and the middle.
    """
    xp = np if isinstance(size, numbers.Integral) else ops
    count = np.float32(size) if xp is np else ops.cast(size, "float32")
    index = xp.arange(size, dtype="float32")
    # Twice the offset over the length of the range is exact at both ends and
    # symmetric. An axis of size 1 has offset 0.
    length = xp.maximum(count - 1, 1.0) if align == "centers" else count
    double_offset = 2 * index - (count if align == "period" else count - 1)
    if coordinate_range == "pixel":
        middle = (count - (align == "centers")) / 2
        return double_offset / 2 + middle, double_offset / 2, middle
    first, last = coordinate_range
    middle = (first + last) / 2
    offsets = double_offset / length * ((last - first) / 2)
    return offsets + middle, offsets, middle


def count_features(count, encoding, use_radius):
    """Returns the number of channels for `count` coordinates.

    Raises:
        ValueError: if the encoding does not map a tensor of shape
            `(..., count)` to a tensor of shape `(..., e)`.
    """
    features = count
    if encoding is not None:
        shape = tuple(ops.shape(encoding(ops.zeros((2, 3, count)))))
        if len(shape) != 3 or shape[:2] != (2, 3) or not shape[2]:
            raise ValueError(
                "`encoding` must return features of shape (..., e) for "
                f"coordinates of shape (..., {count}). Received: features of "
                f"shape {shape} for coordinates of shape {(2, 3, count)}"
            )
        features = shape[2]
    return features + int(use_radius)


def _encode(coordinates, encoding, radius):
    features = coordinates
    if encoding is not None:
        features = ops.cast(encoding(coordinates), "float32")
    if radius is None:
        return features
    return ops.concatenate([features, ops.expand_dims(radius, -1)], axis=-1)


def _norm(vectors):
    # Never 0, where the gradient of the square root is not finite.
    squares = ops.sum(ops.square(vectors), axis=-1)
    return ops.sqrt(ops.maximum(squares, 1e-36))


def _along(axis, rank, vector):
    """Reshapes a vector to size 1 on every other axis."""
    return vector[
        tuple(slice(None) if other == axis else None for other in range(rank))
    ]


def _affine_grid(indices, spatial_shape, steps, origin):
    """Computes `steps @ index + origin`, `(batch, *spatial_shape, d)`.

    The last spatial axis and the coordinates are computed as one long axis:
    TensorFlow is slow at broadcasting along an axis of a few channels.
    """
    rank, (count, length) = len(indices), (origin.shape[-1], spatial_shape[-1])
    last_index = ops.expand_dims(indices[-1], -1)
    last = last_index * steps[:, None, :, -1] + origin[:, None]
    grid = ops.reshape(last, (-1, *[1] * (rank - 1), length * count))
    ones = ops.ones_like(last_index)
    for axis in range(rank - 1):
        step = ops.reshape(
            ones * steps[:, None, :, axis],
            (-1, *[1] * (rank - 1), length * count),
        )
        shape = [1] * rank
        shape[axis] = -1
        grid = grid + ops.reshape(indices[axis], (1, *shape)) * step
    return ops.reshape(grid, (-1, *spatial_shape, count))


def standardize_frame(name, value, sizes, batch=None):
    """Checks `affine` or `coordinates` and converts them to a float32 tensor.

    Args:
        name: String, name of the argument.
        value: Array or tensor with a batch axis.
        sizes: Sequence of the sizes of the other axes: integers, `"d"` for the
            number of coordinates, or tensors if the size is unknown.
        batch: Integer, or `None` if it is unknown.

    Raises:
        ValueError: if the shape or the dtype is wrong, or, outside of a graph,
            if a value is not finite.
    """
    sizes = [n if isinstance(n, (int, str)) else None for n in sizes]
    received = None
    try:
        tensor = ops.convert_to_tensor(value)
        shape = tuple(tensor.shape)
        dtype = keras.utils.standardize_dtype(tensor.dtype)
    except Exception:
        received = repr(value)
    else:
        if not dtype.startswith(("float", "bfloat", "int", "uint")):
            received = f"dtype {dtype}"
        elif len(shape) != len(sizes) + 1 or not all(
            own if size == "d" else None in (own, size) or own == size
            for own, size in zip(shape[1:], sizes, strict=True)
        ):
            received = f"shape {shape}"
        elif isinstance(batch, int) and shape[0] not in (None, 1, batch):
            received = f"shape {shape} for a batch of {batch}"
    if received:
        raise ValueError(
            f"`{name}` must be a tensor of numbers of shape "
            f"(batch or 1, {', '.join(map(str, sizes))}). Received: {received}"
        )
    tensor = ops.cast(tensor, "float32")
    try:
        values = np.asarray(tensor)
    except Exception:
        return tensor  # In a graph there are no values.
    if not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must be finite. Received: {name}={values.tolist()}"
        )
    return tensor


def standardize_axes(axes, rank):
    """Returns the axes that have a coordinate, as a tuple.

    Args:
        axes: Sequence of different integers, starting at 0, or `None` for all.
        rank: Integer, number of spatial axes.

    Raises:
        ValueError: if `axes` is malformed or has an unknown axis.
    """
    if axes is None:
        return tuple(range(rank))
    if (
        isinstance(axes, (list, tuple))
        and axes
        and all(
            isinstance(axis, numbers.Integral)
            and not isinstance(axis, bool)
            and 0 <= axis < rank
            for axis in axes
        )
        and len({*axes}) == len(axes)
    ):
        return tuple(map(int, axes))
    raise ValueError(
        "`axes` must be a tuple of different spatial axes, from 0 to "
        f"{rank - 1}. Received: axes={axes!r}"
    )


def standardize_coordinate_range(coordinate_range, count):
    """Checks a `coordinate_range` and converts it to Python numbers.

    Args:
        coordinate_range: `"pixel"`, or a pair `(first, last)` of two different
            numbers that are finite in float32, or one such pair per axis.
        count: Integer, number of axes that have a coordinate.

    Returns:
        `"pixel"`, a tuple of two Python floats, or a tuple of such tuples.

    Raises:
        ValueError: if `coordinate_range` is malformed.
    """
    try:
        if isinstance(coordinate_range, str):
            if coordinate_range == "pixel":
                return coordinate_range
        elif _is_one_range(coordinate_range):
            return _standardize_pair(coordinate_range)
        elif len(coordinate_range) == count:
            return tuple(_standardize_pair(pair) for pair in coordinate_range)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "`coordinate_range` must be a pair of two different numbers (first, "
        f"last), finite in float32, or {count} such pairs, one per axis, or "
        f'"pixel". Received: coordinate_range={coordinate_range!r}'
    )


def _is_one_range(coordinate_range):
    """Returns whether the same range applies to every axis."""
    return isinstance(coordinate_range, str) or all(
        isinstance(bound, numbers.Real) for bound in coordinate_range
    )


def _standardize_pair(pair):
    first, last = pair
    if not (_is_finite_number(first) and _is_finite_number(last)):
        raise TypeError
    first, last = float(first), float(last)
    if np.float32(first) == np.float32(last):
        raise ValueError
    return first, last


def standardize_radius_center(radius_center, count=None):
    """Checks a `radius_center` and converts it to Python numbers.

    Args:
        radius_center: `None`, a finite number, or one such number per
            coordinate.
        count: Integer, number of coordinates, or `None` if it is unknown.

    Returns:
        `None`, a Python float, or a tuple of floats.

    Raises:
        ValueError: if `radius_center` is malformed.
    """
    if radius_center is None:
        return None
    if _is_finite_number(radius_center):
        return float(radius_center)
    if (
        isinstance(radius_center, (list, tuple, np.ndarray))
        and len(radius_center) > 0
        and (count is None or len(radius_center) == count)
        and all(map(_is_finite_number, radius_center))
    ):
        return tuple(map(float, radius_center))
    raise ValueError(
        "`radius_center` must be None, a finite number, or a tuple of "
        f"{count or 'several'} finite numbers, one per coordinate. "
        f"Received: radius_center={radius_center!r}"
    )


def _standardize_spatial_shape(spatial_shape):
    sizes = tuple(spatial_shape)
    known = [size for size in sizes if isinstance(size, numbers.Integral)]
    if not sizes or min(known, default=1) < 1:
        raise ValueError(
            "`spatial_shape` must have one size per axis, each at least 1. "
            f"Received: spatial_shape={spatial_shape}"
        )
    return sizes


def _is_finite_number(value):
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and abs(value) <= float(np.finfo("float32").max)
    )
