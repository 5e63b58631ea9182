"""Coordinates in plain NumPy, for comparison."""

import numpy as np


def numpy_coordinates(
    shape,
    use_radius=False,
    coordinate_range=(-1.0, 1.0),
    radius_center=None,
    align="centers",
    axes=None,
    encoding=None,
):
    """Features of every position, `(*shape, channels)`, in float64."""
    coordinates, middle, _ = numpy_range_frame(
        shape, coordinate_range, align, axes
    )
    center = middle if radius_center is None else radius_center
    values, _ = numpy_features(coordinates, 0.0, use_radius, center, encoding)
    return values


def numpy_range_frame(shape, coordinate_range, align, axes):
    """Coordinates, the middle of each range, and the sizes of their terms."""
    axes = range(len(shape)) if axes is None else axes
    vectors, middles, scales = [], [], []
    for number, axis in enumerate(axes):
        size = shape[axis]
        index = np.arange(size, dtype="float64")
        if coordinate_range == "pixel":
            low, high = {
                "centers": (0.0, size - 1.0),
                "edges": (0.0, float(size)),
                "period": (0.0, float(size)),
            }[align]
        else:
            low, high = (
                coordinate_range[number]
                if np.ndim(coordinate_range) == 2
                else coordinate_range
            )
        if align == "edges":
            vector = low + (high - low) * (index + 0.5) / size
        elif align == "period":
            vector = low + (high - low) * index / size
        elif size > 1:
            vector = np.linspace(low, high, size)
        else:
            vector = np.array([(low + high) / 2])
        along = [1] * len(shape)
        along[axis] = size
        vectors.append(np.broadcast_to(vector.reshape(along), shape))
        middles.append((low + high) / 2)
        scales.append(max(abs(low), abs(high)))
    return np.stack(vectors, axis=-1), np.array(middles), np.array(scales)


def numpy_affine_frame(shape, affine):
    """The same for the frame of one example, of shape `(d, rank + 1)`."""
    affine = affine.astype("float64")
    indices = np.moveaxis(np.indices(shape), 0, -1)
    last = np.array(shape) - 1.0
    return (
        indices @ affine[:, :-1].T + affine[:, -1],
        affine[:, :-1] @ (last / 2) + affine[:, -1],
        abs(affine[:, :-1]) @ last + abs(affine[:, -1]),
    )


def numpy_features(coordinates, scale, use_radius, radius_center, encoding):
    """Features of coordinates, and their scale.

    Args:
        coordinates: Array of shape `(..., d)`.
        scale: Array that broadcasts against it, the sizes of the terms that the
            coordinates are sums of: their errors are a few roundings of these.
        use_radius: Boolean.
        radius_center: Float, or sequence of `d` floats.
        encoding: `None`, or an encoding of the package.

    Returns:
        Pair of arrays of shape `(..., channels)`. The errors of the features
        are a few roundings of the second.
    """
    scale = np.broadcast_to(scale, coordinates.shape)
    features, scales = [coordinates], [scale]
    name = type(encoding).__name__
    if name == "FourierFeatures":
        frequencies = np.kron(
            np.eye(coordinates.shape[-1]),
            np.pi * 2.0 ** np.arange(encoding.bands)[:, None],
        )
        features, scales = _sines(coordinates, scale, frequencies)
        if encoding.include_coordinates:
            features.insert(0, coordinates)
            scales.insert(0, scale)
    elif name == "GaussianFourierFeatures":
        random = np.random.default_rng(encoding.seed)
        matrix = random.standard_normal((coordinates.shape[-1], encoding.count))
        features, scales = _sines(
            coordinates, scale, 2 * np.pi * encoding.scale * matrix.T
        )
    elif name == "Periodic":
        features, scales = [], []
        for number in range(coordinates.shape[-1]):
            own = coordinates[..., number : number + 1]
            own_scale = scale[..., number : number + 1]
            if encoding.coordinates in (None, ()) or (
                number in encoding.coordinates
            ):
                both = _sines(
                    own, own_scale, np.array([[2 * np.pi / encoding.period]])
                )
                features += both[0]
                scales += both[1]
            else:
                features.append(own)
                scales.append(own_scale)
    else:
        assert encoding is None
    if use_radius:
        offsets = coordinates - radius_center
        features.append(np.sqrt((offsets**2).sum(axis=-1, keepdims=True)))
        sizes = scale + abs(np.asarray(radius_center))
        scales.append(np.sqrt((sizes**2).sum(axis=-1, keepdims=True)))
    return np.concatenate(features, axis=-1), np.concatenate(scales, axis=-1)


def numpy_slopes(coordinates, scale, error, *arguments):
    """Slopes of the features along each coordinate, and their errors.

    Args:
        coordinates, scale, *arguments: As of `numpy_features`.
        error: Float, of a coordinate, relative to its scale.

    Returns:
        Pair of arrays of shape `(..., channels, d)`.
    """
    count = coordinates.shape[-1]
    steps = 1e-30j * np.eye(count)  # Complex steps have no rounding errors.
    scale = np.broadcast_to(scale, coordinates.shape)
    features, scales = numpy_features(coordinates, scale, *arguments)
    slopes, errors = [], []
    for step in steps:
        moved, _ = numpy_features(coordinates + step, scale, *arguments)
        _, rougher = numpy_features(coordinates, scale + step, *arguments)
        slopes.append(moved.imag / 1e-30)
        errors.append(abs(slopes[-1]) + rougher.imag / 1e-30 * scales)
    slopes, errors = np.stack(slopes, axis=-1), np.stack(errors, axis=-1)
    errors = errors * error
    if arguments[0]:
        # The nearer to the center, the less is known of the direction to it.
        radius = features[..., -1:]
        blur = error * scales[..., -1:] / np.maximum(radius, 1e-300)
        errors[..., -1, :] = np.minimum(2 * (error + blur), 2)
        slopes[..., -1, :][radius[..., 0] == 0] = 0
    return slopes, errors


def _sines(coordinates, scale, frequencies):
    """Sines, then cosines: as wrong as their angles, and by their own size."""
    angles = coordinates @ frequencies.T
    sizes = 1 + scale @ abs(frequencies).T
    return [np.sin(angles), np.cos(angles)], [sizes, sizes]


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
