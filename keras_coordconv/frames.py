"""Frames: affine maps from the indices of an image to coordinates.

A frame is a tensor `affine` of shape `(batch, d, rank + 1)`: the coordinates of
index `k` are `affine @ [k, 1]`, in any units. The functions here create frames,
and compute the frames of cropped, flipped, resized or convolved images.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import Tensor
from keras_coordconv.coordinates import axes_frames
from keras_coordconv.coordinates import axis_coordinates


def affine_from_range(
    size: Sequence[int],
    coordinate_range: CoordinateRange = DEFAULT_RANGE,
    align: Align = "centers",
) -> np.ndarray:
    """Creates the frame that a layer has with these arguments.

    Args:
        size: Tuple of integers, size of each axis of the image.
        coordinate_range, align: As for the layers.

    Returns:
        Float32 array of shape `(1, rank, rank + 1)`.

    Example: a map from 60 to 40 degrees north and 0 to 30 degrees east, given
    by the outer edges of its 20 x 30 pixels

    >>> affine = frames.affine_from_range(
    ...     (20, 30), ((60.0, 40.0), (0.0, 30.0)), align="edges"
    ... )
    >>> affine
    [[[-1., 0., 59.5], [0., 1., 0.5]]]
    """
    rank = len(size)
    affine = np.zeros((1, rank, rank + 1), "float32")
    for axis, *frame in axes_frames(coordinate_range, align, range(rank)):
        coordinates, _, _ = axis_coordinates(size[axis], *frame)
        affine[0, axis, -1] = coordinates[0]
        if size[axis] > 1:
            span = np.float64(coordinates[-1]) - coordinates[0]
            affine[0, axis, axis] = span / (size[axis] - 1)
    return affine


def affine_from_nifti(matrix: Tensor) -> np.ndarray:
    """Creates the frame of a volume from a matrix of NIfTI, MONAI or TorchIO.

    Args:
        matrix: Array of shape `(4, 4)` or `(batch, 4, 4)` that maps voxel
            indices, in the order of the volume's axes, to millimeters.

    Returns:
        Float32 array of shape `(batch, 3, 4)`.

    Example:

    >>> volume = nibabel.load("scan.nii.gz")
    >>> affine = frames.affine_from_nifti(volume.affine)
    """
    matrix = _as_array("matrix", matrix, (4, 4))
    return matrix.reshape(-1, 4, 4)[:, :3].astype("float32")


def affine_from_geotransform(transform: Any) -> np.ndarray:
    """Creates the frame of a raster from the transform of rasterio or GDAL.

    A transform maps (column, row) to (x, y), with index 0 at the outer edge of
    a pixel. The frame maps (row, column) to (y, x), with index 0 at the center
    of a pixel.

    Args:
        transform: `affine.Affine`, such as `dataset.transform` of rasterio, or
            a sequence that starts with its six numbers `a, b, c, d, e, f`.

    Returns:
        Float32 array of shape `(1, 2, 3)`, of the coordinates y, x.

    Example: 10 m pixels, north up

    >>> frames.affine_from_geotransform((10.0, 0.0, 500.0, 0.0, -10.0, 900.0))
    [[[-10., 0., 895.], [0., 10., 505.]]]
    """
    a, b, c, d, e, f = (float(value) for value in tuple(transform)[:6])
    y = [e, d, f + (d + e) / 2]
    x = [b, a, c + (a + b) / 2]
    return np.array([[y, x]], "float32")


def affine_from_intrinsics(
    matrix: Tensor, rotation: Tensor | None = None
) -> np.ndarray:
    """Creates the frame of a camera image from the camera's intrinsic matrix.

    Args:
        matrix: Array of shape `(3, 3)` or `(batch, 3, 3)`, the intrinsic matrix
            K, which maps a direction (x, y, z) of the camera to the pixel
            (column, row). Index 0 is the center of a pixel.
        rotation: Array of shape `(3, 3)` or `(batch, 3, 3)` that maps
            directions of the camera to directions of the world.

    Returns:
        Float32 array. Without `rotation`, its shape is `(batch, 2, 3)`, and the
        coordinates of a pixel are its slopes (y / z, x / z). With `rotation`,
        its shape is `(batch, 3, 3)`, and the coordinates are the pixel's ray in
        the world, of length 1 along the camera's axis.

    Example:

    >>> matrix = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    >>> frames.affine_from_intrinsics(matrix)
    [[[0.002, 0., -0.48], [0., 0.002, -0.64]]]
    """
    matrix = _as_array("matrix", matrix, (3, 3)).reshape(-1, 3, 3)
    # From (column, row, 1) to a direction; the frame has the row first.
    rays = np.linalg.inv(matrix)[:, :, [1, 0, 2]]
    if rotation is None:
        return rays[:, [1, 0]].astype("float32")
    rotation = _as_array("rotation", rotation, (3, 3)).reshape(-1, 3, 3)
    return (rotation @ rays).astype("float32")


def crop_affine(affine: Tensor, begin: Sequence[int] | Tensor) -> Tensor:
    """Computes the frames of crops, tiles, or patches of a volume.

    Padding is a crop that begins outside of the image, at `-padding`.

    Args:
        affine: Array or tensor of shape `(batch or 1, d, rank + 1)`.
        begin: Array or tensor of shape `(rank,)` or `(batch, rank)`, the index
            of the first position of the crop on each axis.

    Returns:
        Tensor of shape `(batch, d, rank + 1)`.

    Example: the pixels from row 2 and column 5 on

    >>> affine = np.array([[[0.5, 0.0, 10.0], [0.0, 0.5, 20.0]]])
    >>> frames.crop_affine(affine, (2, 5))
    [[[0.5, 0., 11.], [0., 0.5, 22.5]]]
    """
    return reindex_affine(affine, 1.0, begin)


def flip_affine(
    affine: Tensor, size: Sequence[int], axes: int | Sequence[int]
) -> Tensor:
    """Computes the frames of flipped images.

    Args:
        affine: Array or tensor of shape `(batch, d, rank + 1)`.
        size: Tuple of integers, size of each axis.
        axes: Integer or tuple of integers, the spatial axes to flip, starting
            at 0.

    Returns:
        Tensor of shape `(batch, d, rank + 1)`.

    Example:

    >>> frames.flip_affine(np.array([[[1.0, 0.0]]]), (6,), 0)
    [[[-1., 5.]]]
    """
    is_flipped = np.isin(np.arange(len(size)), axes)
    last = stack_numbers(size) - 1
    return reindex_affine(
        affine, np.where(is_flipped, -1.0, 1.0), last * is_flipped
    )


def resize_affine(
    affine: Tensor, size: Sequence[int], new_size: Sequence[int]
) -> Tensor:
    """Computes the frames of images after `keras.ops.image.resize`.

    The old and the new image cover the same area, but the centers of their
    first and last pixels differ.

    Args:
        affine: Array or tensor of shape `(batch, d, rank + 1)`.
        size: Tuple of integers, the size of each axis before.
        new_size: Tuple of integers, the size of each axis after.

    Returns:
        Tensor of shape `(batch, d, rank + 1)`.

    Example: half the size

    >>> frames.resize_affine(np.array([[[1.0, 0.0]]]), (8,), (4,))
    [[[2., 0.5]]]
    """
    scale = stack_numbers(size) / stack_numbers(new_size)
    return reindex_affine(affine, scale, (scale - 1) / 2)


def conv_affine(
    affine: Tensor,
    size: Sequence[int],
    kernel_size: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    dilation_rate: int | Sequence[int] = 1,
) -> Tensor:
    """Computes the frames of the outputs of a convolution or pooling.

    An output has the coordinates of the center of its receptive field.

    Args:
        affine: Array or tensor of shape `(batch, d, rank + 1)`, the frames of
            the inputs.
        size: Tuple of integers, size of each axis of the input. It is only used
            if `padding` is `"same"` and a stride is not 1.
        kernel_size, strides, dilation_rate: Integer or tuple of one integer per
            axis, as for the layer.
        padding: String, `"valid"`, `"same"` or `"causal"`.

    Returns:
        Tensor of shape `(batch, d, rank + 1)`.

    Raises:
        ValueError: if `padding` is none of these.

    Example:

    >>> affine = np.array([[[1.0, 0.0]]])
    >>> frames.conv_affine(affine, (8,), kernel_size=2, strides=2)
    [[[2., 0.5]]]

    A second CoordConv, deeper in a model, in the frame of the first one:

    >>> image, affine = keras.Input((64, 64, 3)), keras.Input((2, 3))
    >>> x = keras_coordconv.CoordConv2D(32, 3, strides=2)(image, affine=affine)
    >>> deeper = frames.conv_affine(affine, (64, 64), 3, strides=2)
    >>> x = keras_coordconv.CoordConv2D(64, 3)(x, affine=deeper)
    """
    taps = window_taps(size, kernel_size, strides, padding, dilation_rate)
    _, steps, first, last = map(stack_numbers, zip(*taps, strict=True))
    return reindex_affine(affine, steps, (first + last) / 2)


def window_taps(size, kernel_size, strides, padding, dilation_rate):
    """Returns the taps (see `conversion.taps`) of a convolution or pooling.

    Args:
        size: Sequence of integers or scalar tensors.
        kernel_size, strides, padding, dilation_rate: As for `conv_affine`.

    Returns:
        List of `(1, stride, first, last)` per axis.
    """
    per_axis = [
        np.broadcast_to(value, len(size)).tolist()
        for value in (kernel_size, strides, dilation_rate)
    ]
    taps = []
    for n, kernel, stride, dilation in zip(size, *per_axis, strict=True):
        reach = (kernel - 1) * dilation
        before = _padding_before(n, reach, stride, padding)
        taps.append((1, stride, -before, reach - before))
    return taps


def _padding_before(size, reach, stride, padding):
    """Returns the number of padded positions before the first, on one axis."""
    if padding == "valid":
        return 0
    if padding == "causal":
        return reach
    if padding != "same":
        raise ValueError(
            '`padding` must be "valid", "same" or "causal". '
            f"Received: padding={padding!r}"
        )
    if stride == 1:
        return reach // 2
    # The last output begins within the last stride.
    left = (size - 1) % stride
    xp = np if isinstance(size, numbers.Integral) else ops
    return xp.maximum(reach - left, 0) // 2


def reindex_affine(affine, scale, begin):
    """Computes the frames of images whose index `k` was `scale * k + begin`.

    Args:
        affine: Array or tensor of shape `(batch, d, rank + 1)`.
        scale: Number, or array or tensor of shape `(rank,)` or `(batch, rank)`.
        begin: Array or tensor of shape `(rank,)` or `(batch, rank)`.

    Returns:
        Tensor of shape `(batch, d, rank + 1)`.
    """
    affine = ops.cast(affine, "float32")
    steps, origin = affine[..., :-1], affine[..., -1:]
    scale, begin = _per_axis(scale), _per_axis(begin)
    origin = origin + ops.sum(steps * begin, axis=-1, keepdims=True)
    # One affine may have the crops of many images.
    steps = steps * scale * ops.ones_like(origin)
    return ops.concatenate([steps, origin], axis=-1)


def _per_axis(values):
    values = ops.convert_to_tensor(values, "float32")
    return ops.expand_dims(values, -2) if len(values.shape) else values


def stack_numbers(values):
    """Stacks numbers: a float32 array, or a tensor if one is unknown."""
    if all(isinstance(value, numbers.Number) for value in values):
        return np.array(values, "float32")
    return ops.stack([ops.cast(value, "float32") for value in values])


def _as_array(name, value, shape):
    value = np.asarray(value, "float64")
    if value.shape[-2:] != shape or value.ndim > 3:
        raise ValueError(
            f"`{name}` must have the shape {shape}, optionally with a batch "
            f"axis in front. Received: {name} of shape {value.shape}"
        )
    return value
