"""Each implementation's arithmetic, written anew in NumPy, and our layers."""

import numpy as np
import pytest
from keras import ops

import keras_coordconv
from keras_coordconv import load_coordconv_kernel


def titu1994(size, use_radius):
    channels = grid(*(steps(n, n) for n in size))
    return channels + [radius(channels, 0.5)] * use_radius


def uber(size, use_radius):
    height, width = size
    rows, columns = grid(steps(height, width), steps(width, height))
    return [columns, rows] + [radius([rows, columns], 0)] * use_radius


def walsvid(size, use_radius):
    if len(size) < 3:
        return titu1994(size, use_radius)
    z, y, x = grid(*(np.arange(n) for n in size))
    return [z + y, z + x, y + x]


def wizaron(size, use_radius):
    channels = titu1994(size, False)
    distance = radius(channels, 0)
    return channels + [distance / distance.max()] * use_radius


def solo(size, use_radius):
    y, x = grid(*(np.linspace(-1, 1, n) for n in size))
    return [x, y]


def paddledetection(size, use_radius):
    y, x = grid(*(np.arange(n) / ((n - 1) * 2) - 1 for n in size))
    return [x, y]


def steps(size, divisor):
    return np.arange(size) / (divisor - 1) * 2 - 1


def grid(*axes):
    return list(np.meshgrid(*axes, indexing="ij"))


def radius(channels, center):
    return np.sqrt(sum((channel - center) ** 2 for channel in channels))


def convolve(inputs, kernel):
    """Valid convolution with stride 1 of one channels-first example.

    The kernel is PyTorch's, `(filters, channels, *kernel_size)`.
    """
    windows = np.lib.stride_tricks.sliding_window_view(
        inputs, kernel.shape[2:], axis=range(1, inputs.ndim)
    )
    rank = inputs.ndim - 1
    places, taps = range(rank), range(rank, 2 * rank)
    return np.einsum(
        windows, [50, *places, *taps], kernel, [51, 50, *taps], [51, *places]
    )


def convolve_transposed(inputs, kernel):
    """As `convolve`, the kernel is `(channels, filters, *kernel_size)`."""
    sizes = zip(inputs.shape[1:], kernel.shape[2:], strict=True)
    outputs = np.zeros((kernel.shape[1], *(n + k - 1 for n, k in sizes)))
    for place in np.ndindex(inputs.shape[1:]):
        reached = tuple(
            slice(start, start + length)
            for start, length in zip(place, kernel.shape[2:], strict=True)
        )
        outputs[:, *reached] += np.tensordot(inputs[:, *place], kernel, axes=1)
    return outputs


def to_keras(kernel):
    return np.moveaxis(kernel, (1, 0), (-2, -1))


def coordinates_last(channels, coordinates):
    return [*channels, *coordinates]


def coordinates_first(channels, coordinates):
    return [*coordinates, *channels]


# Arithmetic; where the coordinates go; from PyTorch's layout of a kernel to
# theirs.
IMPLEMENTATIONS = {
    "titu1994": (titu1994, coordinates_last, to_keras),
    "uber": (uber, coordinates_last, to_keras),
    "mkocabas": (titu1994, coordinates_last, np.asarray),
    "walsvid": (walsvid, coordinates_last, np.asarray),
    "wizaron": (wizaron, coordinates_first, np.asarray),
    "solo": (solo, coordinates_last, np.asarray),
    "paddledetection": (paddledetection, coordinates_last, np.asarray),
}

FROM_HALF = {"radius_center": 0.5}
# On 5 x 9: 2 x 4 / 8 and 2 x 8 / 4 from -1.
ON_A_RECTANGLE = {"coordinate_range": ((-1, 0), (-1, 3)), "radius_center": 0}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("convention", "size", "use_radius", "arguments"),
    [
        ("titu1994", (7,), False, {}),
        ("titu1994", (5, 6), False, {}),
        ("titu1994", (5, 6), True, FROM_HALF),
        ("titu1994", (3, 4, 5), False, {}),
        ("uber", (6, 6), False, {}),
        ("uber", (6, 6), True, {}),
        ("uber", (6, 6), True, {"radius_center": 0.0}),
        ("uber", (5, 9), False, ON_A_RECTANGLE),
        ("uber", (5, 9), True, ON_A_RECTANGLE),
        ("mkocabas", (5, 6), False, {}),
        ("mkocabas", (5, 6), True, FROM_HALF),
        ("walsvid", (7,), False, {}),
        ("walsvid", (7,), True, FROM_HALF),
        ("walsvid", (5, 6), True, FROM_HALF),
        ("walsvid", (4, 4, 4), False, {"coordinate_range": "pixel"}),
        ("walsvid", (3, 4, 5), False, {"coordinate_range": "pixel"}),
        ("wizaron", (5, 6), False, {}),
        ("wizaron", (5, 6), True, {}),
        ("wizaron", (4, 2), True, {}),
        ("solo", (5, 6), False, {}),
        ("paddledetection", (5, 6), False, {"coordinate_range": (-1, -0.5)}),
    ],
)
def test_outputs_are_theirs(
    convention, size, use_radius, arguments, transposed
):
    coordinates, put, to_theirs = IMPLEMENTATIONS[convention]
    random = np.random.default_rng(0)
    inputs = random.normal(size=(3, *size))
    widened = np.stack(put(inputs, coordinates(size, use_radius)))
    filters, kernel_size = 4, (2, 1, 2)[: len(size)]
    shape = (filters, len(widened))
    kernel = random.normal(
        size=(*(shape[::-1] if transposed else shape), *kernel_size)
    )
    bias = random.normal(size=filters)
    name = f"CoordConv{len(size)}D{'Transpose' if transposed else ''}"
    layer = getattr(keras_coordconv, name)(
        filters, kernel_size, use_radius=use_radius, **arguments
    )
    layer.build((None, *size, 3))
    load_coordconv_kernel(layer, to_theirs(kernel), bias, convention)
    expected = (convolve_transposed if transposed else convolve)(
        widened, kernel
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(np.moveaxis(inputs, 0, -1)[None]))[0],
        np.moveaxis(expected, 0, -1) + bias,
        rtol=1e-5,
        atol=1e-5,
    )


def test_kernel_without_bias_into_a_layer_of_any_size():
    layer = keras_coordconv.CoordConv2D(2, 1, use_bias=False)
    layer.build((None, None, None, 1))
    kernel = np.arange(6.0).reshape(2, 3, 1, 1)
    load_coordconv_kernel(layer, kernel, convention="solo")
    np.testing.assert_array_equal(
        layer.get_weights()[0][0, 0], [[0, 3], [2, 5], [1, 4]]
    )


def test_channels_first_layer_knows_its_size():
    layer = keras_coordconv.CoordConv2D(
        4, 2, data_format="channels_first", coordinate_range=((-1, 0), (-1, 3))
    )
    layer.build((None, 3, 5, 9))
    load_coordconv_kernel(layer, *layer.get_weights(), "uber")


def test_the_error_names_the_range_to_pass():
    layer = keras_coordconv.CoordConv2D(4, 3)
    layer.build((None, 64, 128, 3))
    message = (
        r"Create it with coordinate_range="
        r"\(\(-1.0, -0.0078740\d+\), \(-1.0, 3.031746\d+\)\)"
    )
    with pytest.raises(ValueError, match=message):
        load_coordconv_kernel(layer, *layer.get_weights(), "uber")


RADIUS = {"use_radius": True}


@pytest.mark.parametrize(
    ("arguments", "size", "convention", "message"),
    [
        ({}, (6, 5), "keras", "Received: convention='keras'"),
        # Coordinates
        (RADIUS, (6, 5), "titu1994", "Create it .* radius_center=0.5"),
        (RADIUS, (6, 5), "mkocabas", "Create it .* radius_center=0.5"),
        (RADIUS, (6, 5), "walsvid", "Create it .* radius_center=0.5"),
        (RADIUS | FROM_HALF, (6, 6), "uber", "radius_center=0.0"),
        (RADIUS | FROM_HALF, (6, 5), "wizaron", "radius_center=0.0"),
        (
            RADIUS | {"coordinate_range": ((-1, 0), (-1, 3))},
            (5, 9),
            "uber",
            "radius_center=0.0",
        ),
        (RADIUS, (6, 5), "solo", "use_radius=False"),
        (RADIUS, (6, 5), "paddledetection", "use_radius=False"),
        (RADIUS, (3, 4, 5), "titu1994", "use_radius=False"),
        (RADIUS, (4, 4, 4), "walsvid", "use_radius=False"),
        ({"coordinate_range": (0, 1)}, (6, 6), "uber", r"=\(-1.0, 1.0\)"),
        ({"coordinate_range": (1, -1)}, (6, 5), "solo", r"=\(-1.0, 1.0\)"),
        ({"coordinate_range": "pixel"}, (6, 5), "solo", r"=\(-1.0, 1.0\)"),
        ({}, (6, 5), "paddledetection", r"=\(-1.0, -0.5\)"),
        ({}, (3, 4, 5), "walsvid", "coordinate_range=pixel"),
        (ON_A_RECTANGLE, (9, 5), "uber", r"=\(\(-1.0, 3.0\), \(-1.0, 0.0\)\)"),
        ({}, (None, 5), "uber", r"size \(None, 5\)"),
        ({}, (1, 5), "solo", "more than one position"),
        # Layers
        ({}, (7,), "uber", "of rank 2"),
        ({}, (3, 4, 5), "wizaron", "of rank 2"),
        ({"groups": 2}, (6, 5), "solo", "groups=1"),
    ],
)
def test_layers_that_do_not_fit(arguments, size, convention, message):
    layer = getattr(keras_coordconv, f"CoordConv{len(size)}D")(
        4, 1, **arguments
    )
    layer.build((None, *size, 4))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        load_coordconv_kernel(
            layer, np.ones_like(before[0]), before[1], convention
        )
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize(
    "layer",
    [
        keras_coordconv.CoordConv2D(4, 3),
        keras_coordconv.CoordSeparableConv2D(4, 3),
        keras_coordconv.CoordDepthwiseConv2D(3),
        keras_coordconv.CoordinateChannel2D(),
        "layer",
    ],
)
def test_not_a_built_convolution(layer):
    with pytest.raises(ValueError, match="needs a built CoordConv"):
        load_coordconv_kernel(layer, np.zeros((3, 3, 5, 4)))


@pytest.mark.parametrize(
    ("convention", "shape", "bias", "message"),
    [
        ("titu1994", (3, 3, 5), (4,), r"have the shape \(3, 2, 5, 4\)"),
        ("titu1994", (4, 5, 3, 2), (4,), r"have the shape \(3, 2, 5, 4\)"),
        ("solo", (3, 2, 5, 4), (4,), r"have the shape \(4, 5, 3, 2\)"),
        ("solo", (4, 6, 3, 2), (4,), r"Received: kernel of shape \(4, 6, 3"),
        ("titu1994", (3, 2, 5, 4), None, "Received: bias of shape None"),
        ("titu1994", (3, 2, 5, 4), (3,), r"Received: bias of shape \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit(convention, shape, bias, message):
    layer = keras_coordconv.CoordConv2D(4, (3, 2))
    layer.build((None, 6, 5, 3))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        load_coordconv_kernel(
            layer,
            np.ones(shape),
            None if bias is None else np.ones(bias),
            convention,
        )
    for weight, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
