"""Coordinates in plain NumPy, for comparison."""

import numpy as np


def numpy_coordinates(
    shape,
    use_radius=False,
    coordinate_range=(-1.0, 1.0),
    radius_center=None,
):
    """Coordinates of every position, `(*shape, channels)`, in float64."""
    axes, middles = [], []
    for axis, size in enumerate(shape):
        if coordinate_range == "pixel":
            axes.append(np.arange(size, dtype="float64"))
            middles.append((size - 1) / 2)
        else:
            low, high = (
                coordinate_range[axis]
                if np.ndim(coordinate_range) == 2
                else coordinate_range
            )
            middles.append((low + high) / 2)
            axes.append(
                np.linspace(low, high, size)
                if size > 1
                else np.array([middles[-1]])
            )
    channels = list(np.meshgrid(*axes, indexing="ij"))
    if radius_center is not None:
        middles = np.broadcast_to(radius_center, len(shape))
    if use_radius:
        channels.append(
            np.sqrt(
                sum(
                    (channel - middle) ** 2
                    for channel, middle in zip(channels, middles, strict=True)
                )
            )
        )
    return np.stack(channels, axis=-1)


def append_coordinates(
    inputs, data_format="channels_last", groups=1, **coordinates
):
    """`inputs` with coordinate channels after the channels of each group."""
    if data_format == "channels_first":
        inputs = np.moveaxis(inputs, 1, -1)
    grid = numpy_coordinates(inputs.shape[1:-1], **coordinates)
    grid = np.broadcast_to(grid, (len(inputs), *grid.shape))
    widened = np.concatenate(
        [
            part
            for group in np.split(inputs, groups, axis=-1)
            for part in (group, grid.astype(inputs.dtype))
        ],
        axis=-1,
    )
    if data_format == "channels_first":
        widened = np.moveaxis(widened, -1, 1)
    return widened
