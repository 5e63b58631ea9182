"""Ranges of what leaves a convolution or pooling."""

import random

import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

from keras_coordconv import strided_ranges


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


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [5, 8])
def test_the_centre_of_the_kernel(size, kernel_size, strides, dilation):
    """With "same" padding, what an output sees is around its coordinate."""
    if dilation > 1 and strides > 1:
        pytest.skip("not both at once")
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


def test_one_position():
    found = strided_ranges(np.array([[[2.0, 4.0], [0.0, 1.0]]]), (1, 2), 1)
    np.testing.assert_allclose(found, [[[3, 3], [0, 1]]])


def test_bad_arguments():
    ranges = np.zeros((1, 1, 2))
    with pytest.raises(ValueError, match="over 5 of 4 positions"):
        strided_ranges(ranges, (4,), 5)
    with pytest.raises(ValueError, match="padding='full'"):
        strided_ranges(ranges, (4,), 3, padding="full")
