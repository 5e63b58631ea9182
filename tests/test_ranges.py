"""Ranges of parts of images, and of what leaves a convolution or pooling."""

import random

import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

from keras_coordconv import flipped_ranges
from keras_coordconv import resized_ranges
from keras_coordconv import strided_ranges
from keras_coordconv import window_ranges

RANGES = np.array([[[3.0, -2.0], [0.0, 1.0]], [[5.0, 7.0], [-1.0, 4.0]]])


def grids(size, ranges):
    """Coordinates of each example, in NumPy."""
    return np.stack(
        [
            numpy_coordinates(size, coordinate_range=pairs)
            for pairs in np.asarray(ranges, "float64").tolist()
        ]
    )


def test_the_mean_of_what_is_seen():
    """With "valid" padding, it is what mean pooling gives."""
    draw = random.Random(0)
    for _ in range(20):
        rank = draw.choice([1, 2, 3])
        size = tuple(draw.randint(4, 9) for _ in range(rank))
        pool = tuple(draw.randint(1, 4) for _ in range(rank))
        strides = draw.randint(1, 3)
        bounds = [[draw.uniform(-5, 5) for _ in "ab"] for _ in size]
        grid = numpy_coordinates(size, coordinate_range=bounds)
        pooled = ops.convert_to_numpy(
            ops.average_pool(grid[None].astype("float32"), pool, strides)
        )[0]
        found = strided_ranges(np.array([bounds]), size, pool, strides)
        (found,) = ops.convert_to_numpy(found).tolist()
        expected = numpy_coordinates(pooled.shape[:-1], coordinate_range=found)
        np.testing.assert_allclose(pooled, expected, atol=1e-4)


# Keras has no strided convolution with a dilation.
@pytest.mark.parametrize(
    ("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)]
)
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [5, 8])
def test_the_centre_of_the_kernel(size, kernel_size, strides, dilation):
    """With "same" padding, what an output sees is around its coordinate."""
    found = strided_ranges(
        np.array([[[0.0, size - 1.0]]]),
        (size,),
        kernel_size,
        strides,
        "same",
        dilation,
    )
    conv = keras.layers.Conv1D(
        1, kernel_size, strides, "same", dilation_rate=dilation, use_bias=False
    )
    conv.build((None, size, 1))
    conv.set_weights([np.ones((kernel_size, 1, 1))])
    # One white position an example: which outputs see it?
    seen = ops.convert_to_numpy(conv(np.eye(size, dtype="float32")[..., None]))
    outputs = seen.shape[1]
    seen = seen[..., 0]
    centers = np.linspace(*ops.convert_to_numpy(found)[0, 0], outputs)
    reach = (kernel_size - 1) * dilation / 2
    for output, center in enumerate(centers):
        expected = {
            position
            for position in range(size)
            if abs(position - center) <= reach + 1e-4
            and round(position - center + reach, 3) % dilation == 0
        }
        assert {*np.flatnonzero(seen[:, output])} == expected


@pytest.mark.parametrize("begin", [(1, 4), [(0, 0), (2, 3)]])
def test_a_window_has_the_coordinates_of_the_whole(begin):
    whole = grids((6, 9), RANGES)
    found = window_ranges(RANGES, (6, 9), begin, (4, 5))
    for example, (i, j) in enumerate(np.broadcast_to(begin, (2, 2))):
        np.testing.assert_allclose(
            grids((4, 5), found)[example],
            whole[example, i : i + 4, j : j + 5],
            atol=1e-6,
        )


@pytest.mark.parametrize("axes", [0, 1, (0, 1)])
def test_a_flipped_image_has_flipped_coordinates(axes):
    expected = np.flip(grids((6, 9), RANGES), np.atleast_1d(axes) + 1)
    found = flipped_ranges(RANGES, axes)
    np.testing.assert_allclose(grids((6, 9), found), expected, atol=1e-6)


@pytest.mark.parametrize("new_size", [(3, 3), (12, 18), (5, 13)])
def test_a_resized_image_has_resized_coordinates(new_size):
    whole = grids((6, 9), RANGES).astype("float32")
    resized = ops.convert_to_numpy(ops.image.resize(whole, new_size))
    found = grids(new_size, resized_ranges(RANGES, (6, 9), new_size))
    # At the border there is nothing to interpolate with.
    inside = np.abs(found - resized)[:, 1:-1, 1:-1]
    assert inside.size and inside.max() < 1e-5


@pytest.mark.parametrize("strides", [1, 2])
def test_causal_outputs_see_what_came_before(strides):
    """The centre of a kernel of 3 steps is one before the output."""
    found = strided_ranges(np.array([[[0.0, 6.0]]]), (7,), 3, strides, "causal")
    np.testing.assert_allclose(found, [[[-1.0, 5.0]]])


def test_one_position():
    found = strided_ranges(np.array([[[2.0, 4.0], [0.0, 1.0]]]), (1, 2), 1)
    np.testing.assert_allclose(found, [[[3, 3], [0, 1]]])
    found = window_ranges(np.array([[[2.0, 4.0]]]), (1,), [0], (1,))
    np.testing.assert_allclose(found, [[[3, 3]]])


def test_bad_arguments():
    ranges = np.zeros((1, 1, 2))
    with pytest.raises(ValueError, match="over 5 of 4 positions"):
        strided_ranges(ranges, (4,), 5)
    with pytest.raises(ValueError, match="padding='full'"):
        strided_ranges(ranges, (4,), 3, padding="full")
