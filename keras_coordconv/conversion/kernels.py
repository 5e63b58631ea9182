"""Loads kernels that were trained with other CoordConv implementations."""

import dataclasses
import math

import keras
import numpy as np
import numpy.typing as npt

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import axes_frames
from keras_coordconv.layers.coord_conv import BaseCoordConv
from keras_coordconv.layers.coord_conv_transpose import BaseCoordConvTranspose


def load_coordconv_kernel(
    layer: keras.Layer,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    convention: str = "titu1994",
) -> None:
    """Loads a kernel of another CoordConv implementation.

    Args:
        layer: A built `CoordConv1D`, `2D` or `3D`, or one of their `Transpose`
            forms, without groups.
        kernel: Array, the kernel of the convolution that follows the appended
            coordinates, in the layout of `convention`: Keras's `(*kernel_size,
            channels, filters)`, transposed `(*kernel_size, filters, channels)`,
            or PyTorch's `(filters, channels, *kernel_size)`, transposed
            `(channels, filters, *kernel_size)`.
        bias: Array of shape `(filters,)`, or `None` for a layer without bias.
        convention: String, the implementation that the kernel comes from:

            - `"titu1994"` (Keras, 1D to 3D): rows before columns; in 2D the
              radius is measured from 0.5, so a layer with `use_radius` needs
              `radius_center=0.5`.
            - `"uber"` (Keras's layout, 2D: the authors' code, fast-plate-ocr):
              columns before rows; the radius is measured from 0. The rows are
              divided by the width minus one and the columns by the height minus
              one. For rectangular inputs, the layer therefore needs another
              `coordinate_range`, which the error message gives, and
              `radius_center=0.0`.
            - `"mkocabas"` (PyTorch, 2D): rows before columns; the radius is
              measured from 0.5. In its first version, `AddCoordsTh`, the
              columns came first.
            - `"walsvid"` (PyTorch, 1D to 3D): like `"mkocabas"` in 1D and 2D.
              In 3D, each channel is the sum of the indices of two axes, so the
              layer needs `coordinate_range="pixel"`; the radius of these sums
              is not supported.
            - `"wizaron"` (PyTorch, 2D): the coordinates come before the input's
              channels, rows before columns; the radius is divided by its
              maximum.
            - `"solo"` (PyTorch's layout, 2D: SOLO, AdelaiDet, PaddleDetection
              before July 2021 and in its SOLOv2): columns before rows, no
              radius.
            - `"paddledetection"` (PyTorch's layout, 2D, since July 2021): like
              `"solo"`, with coordinates from -1 to -0.5.

    The strides and the padding of the layer must match those of the original
    convolution: PyTorch's padding of 0 is `padding="valid"`.

    Raises:
        ValueError: if the convention is unknown, or if the layer's arguments,
            its input size or the shapes do not match it.

    Example:

    >>> layer = keras_coordconv.CoordConv2D(
    ...     8, 3, use_radius=True, radius_center=0.5
    ... )
    >>> layer.build((None, 64, 64, 3))
    >>> load_coordconv_kernel(layer, *old_model.get_layer("conv").get_weights())
    """
    if convention not in _CONVENTIONS:
        raise ValueError(
            f"`convention` must be one of {', '.join(_CONVENTIONS)}. "
            f"Received: convention={convention!r}"
        )
    _check_layer(layer, convention)
    theirs = _CONVENTIONS[convention][layer.rank]
    _check_coordinates(layer, theirs, convention)
    bias_shape = None if bias is None else np.shape(bias)
    expected = (layer.filters,) if layer.use_bias else None
    if bias_shape != expected:
        raise ValueError(
            "`bias` must have the shape of the layer's bias, or be None if "
            f"there is none. Received: bias of shape {bias_shape}, and a layer "
            f"with use_bias={layer.use_bias} and filters={layer.filters}"
        )
    kernel = _in_our_order(layer, np.asarray(kernel), theirs, convention)
    layer.set_weights([kernel] if bias is None else [kernel, np.asarray(bias)])


@dataclasses.dataclass(frozen=True)
class _Form:
    """How an implementation appends coordinates, for one rank.

    Attributes:
        channels: One string per coordinate channel: the axes (`i`, `j`, `k`)
            whose coordinates are summed.
        coordinate_range: As for the layers, or a function that computes it from
            the size of the input.
        radius_center: Point the radius is measured from; `None` if the
            implementation has no supported radius.
        radius_unit: Number the radius is divided by.
        pytorch: Whether the kernel has PyTorch's layout.
        coordinates_first: Whether the coordinates come before the input's
            channels.
    """

    channels: tuple
    coordinate_range: object = DEFAULT_RANGE
    radius_center: float | None = None
    radius_unit: float = 1.0
    pytorch: bool = False
    coordinates_first: bool = False


def _divided_by_the_other_axis(height, width):
    return (
        (-1.0, -1.0 + 2.0 * (height - 1) / (width - 1)),
        (-1.0, -1.0 + 2.0 * (width - 1) / (height - 1)),
    )


_ROWS_FIRST = _Form(("i", "j"), radius_center=0.5, pytorch=True)
_COLUMNS_FIRST = _Form(("j", "i"), pytorch=True)

# By convention and rank.
_CONVENTIONS = {
    "titu1994": {
        1: _Form(("i",)),
        2: _Form(("i", "j"), radius_center=0.5),
        3: _Form(("i", "j", "k")),
    },
    "uber": {
        2: _Form(
            ("j", "i"),
            coordinate_range=_divided_by_the_other_axis,
            radius_center=0.0,
        ),
    },
    "mkocabas": {2: _ROWS_FIRST},
    "walsvid": {
        1: _Form(("i",), radius_center=0.5, pytorch=True),
        2: _ROWS_FIRST,
        3: _Form(("ij", "ik", "jk"), coordinate_range="pixel", pytorch=True),
    },
    "wizaron": {
        2: _Form(
            ("i", "j"),
            radius_center=0.0,
            radius_unit=math.sqrt(2),
            pytorch=True,
            coordinates_first=True,
        ),
    },
    "solo": {2: _COLUMNS_FIRST},
    "paddledetection": {
        2: dataclasses.replace(_COLUMNS_FIRST, coordinate_range=(-1.0, -0.5)),
    },
}


def _check_layer(layer, convention):
    ranks = _CONVENTIONS[convention]
    if (
        not isinstance(layer, (BaseCoordConv, BaseCoordConvTranspose))
        or layer.rank not in ranks
        or layer.groups != 1
        or not layer.built
    ):
        raise ValueError(
            f"A kernel of {convention} needs a built CoordConv or "
            "CoordConvTranspose of rank "
            f"{' or '.join(map(str, ranks))}, with groups=1. "
            f"Received: layer={layer}"
        )


def _check_coordinates(layer, theirs, convention):
    """Checks that the layer has the coordinates of the convention."""
    expected = theirs.coordinate_range
    built_for = keras.KerasTensor(layer.get_build_config()["input_shape"])
    sizes = layer._spatial_shape(built_for)
    if expected != "pixel" and 1 in sizes:
        raise ValueError(
            f"A kernel of {convention} needs more than one position on every "
            "axis: on axes of size 1, its coordinates differ from the layer's. "
            f"Received: a layer built for an input of size {sizes}"
        )
    if callable(expected):
        if None in sizes:
            raise ValueError(
                f"The coordinates of {convention} depend on the size of the "
                "input. Received: a layer built for an input of size "
                f"{sizes}. Build it for the training size, with "
                "layer.build((None, height, width, channels))."
            )
        expected = expected(*sizes)
    frames = axes_frames(expected, "centers", range(layer.rank))
    if len({own for _, own, _ in frames}) == 1:
        expected = frames[0][1]
    fits = layer.encoding is None and len(layer._frames) == layer.rank
    for (_, theirs_on_axis, _), (_, own, align) in zip(
        frames, layer._frames, strict=False
    ):
        fits = fits and align == "centers" and _same_range(theirs_on_axis, own)
    if layer.use_radius:
        if theirs.radius_center is None:
            raise ValueError(
                f"Convention {convention!r} has no supported radius channel in "
                f"{layer.rank}D: use a layer with `use_radius=False`."
            )
        fits = fits and _radius_centers(layer) == {theirs.radius_center}
    if not fits:
        center = (
            f" and radius_center={theirs.radius_center}"
            if layer.use_radius
            else ""
        )
        raise ValueError(
            f"The layer must have the coordinates of {convention}. Received: a "
            f"layer with coordinate_range={layer.coordinate_range}, "
            f"align={layer.align!r}, axes={layer.axes}, "
            f"encoding={layer.encoding} and "
            f"radius_center={layer.radius_center}. Create it with "
            f"coordinate_range={expected}{center}."
        )


def _same_range(one, other):
    if "pixel" in (one, other):
        return one == other
    # Up to the precision of the coordinates, float32.
    return np.allclose(one, other, rtol=1e-6, atol=1e-6)


def _radius_centers(layer):
    """Returns the coordinates that the layer measures the radius from."""
    if layer.radius_center is not None:
        return {*np.atleast_1d(layer.radius_center).tolist()}
    return {(first + last) / 2 for _, (first, last), _ in layer._frames}


def _in_our_order(layer, kernel, theirs, convention):
    """Returns the kernel with its axes and channels in the layer's order."""
    shape = kernel.shape
    if theirs.pytorch and kernel.ndim == layer.rank + 2:
        kernel = np.moveaxis(kernel, (1, 0), (-2, -1))
    if kernel.shape != tuple(layer.kernel.shape):
        expected = tuple(layer.kernel.shape)
        if theirs.pytorch:
            expected = (*expected[-1:-3:-1], *expected[:-2])
        raise ValueError(
            f"A kernel of {convention} for this layer must have the shape "
            f"{expected}. Received: kernel of shape {shape}, and a layer with "
            f"use_radius={layer.use_radius}"
        )
    channel_axis = -1 if isinstance(layer, BaseCoordConvTranspose) else -2
    kernel = np.moveaxis(kernel, channel_axis, 0)
    channels = len(kernel) - layer.rank - layer.use_radius
    if theirs.coordinates_first:
        kernel = np.roll(kernel, channels, axis=0)
    own, coordinates, radius = np.split(
        kernel, [channels, channels + layer.rank]
    )
    # A convolution is linear: if a channel is the sum of two coordinates, both
    # get the weights of that channel.
    coordinates = [
        sum(
            weights
            for weights, channel in zip(
                coordinates, theirs.channels, strict=True
            )
            if axis in channel
        )
        for axis in "ijk"[: layer.rank]
    ]
    kernel = np.concatenate([own, coordinates, radius / theirs.radius_unit])
    return np.moveaxis(kernel, 0, channel_axis)
