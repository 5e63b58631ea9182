"""Frames of parts of images, and of the outputs of convolutions."""

import random

import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_affine_frame
from reference import numpy_coordinates

from keras_coordconv import coordinate_grid
from keras_coordconv import frames

AFFINE = np.array(
    [[[3.0, -2.0, 1.0], [0.5, 1.0, -4.0]], [[0.0, 7.0, 2.0], [-1.0, 4.0, 0.0]]]
)


def grids(size, affine):
    """Coordinates of each example, in NumPy."""
    return np.stack(
        [numpy_affine_frame(size, own)[0] for own in np.asarray(affine)]
    )


@pytest.mark.parametrize("align", ["centers", "edges", "period"])
@pytest.mark.parametrize(
    "coordinate_range", [(-1.0, 1.0), "pixel", ((60, 40), (0, 30))]
)
@pytest.mark.parametrize("size", [(4, 7), (1, 5)])
def test_the_frame_of_a_range(size, coordinate_range, align):
    affine = frames.affine_from_range(size, coordinate_range, align)
    expected = numpy_coordinates(
        size, coordinate_range=coordinate_range, align=align
    )
    np.testing.assert_allclose(
        grids(size, affine)[0], expected, rtol=1e-6, atol=1e-5
    )


def test_the_mean_of_the_receptive_field():
    """With "valid" padding, it is what mean pooling gives."""
    draw = random.Random(0)
    for seed in range(20):
        rank = draw.choice([1, 2, 3])
        size = tuple(draw.randint(4, 9) for _ in range(rank))
        pool = tuple(draw.randint(1, 4) for _ in range(rank))
        strides = draw.randint(1, 3)
        affine = np.random.default_rng(seed).normal(size=(1, 2, rank + 1))
        grid = grids(size, affine).astype("float32")
        pooled = ops.convert_to_numpy(ops.average_pool(grid, pool, strides))
        found = frames.conv_affine(affine, size, pool, strides)
        np.testing.assert_allclose(
            grids(pooled.shape[1:-1], found), pooled, atol=1e-4
        )


# Keras has no strided convolution with a dilation.
@pytest.mark.parametrize(
    ("strides", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)]
)
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [5, 8])
def test_the_center_of_the_kernel(size, kernel_size, strides, dilation):
    """With "same" padding, what an output sees is around its coordinate."""
    affine = frames.conv_affine(
        np.array([[[1.0, 0.0]]]),
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
    # One white position per example: which outputs see it?
    seen = ops.convert_to_numpy(conv(np.eye(size, dtype="float32")[..., None]))
    seen = seen[..., 0]
    centers = grids((seen.shape[1],), affine)[0, :, 0]
    reach = (kernel_size - 1) * dilation / 2
    for output, center in enumerate(centers):
        expected = {
            position
            for position in range(size)
            if abs(position - center) <= reach + 1e-4
            and round(position - center + reach, 3) % dilation == 0
        }
        assert {*np.flatnonzero(seen[:, output])} == expected


@pytest.mark.parametrize(
    ("affine", "begin"),
    [
        (AFFINE, (1, 4)),
        (AFFINE, [(0, 0), (2, 3)]),
        # Two crops of one image.
        (AFFINE[:1], [(0, 0), (2, 3)]),
    ],
)
def test_a_crop_has_the_coordinates_of_the_whole(affine, begin):
    whole = np.broadcast_to(grids((6, 9), affine), (2, 6, 9, 2))
    found = frames.crop_affine(affine, begin)
    for example, (i, j) in enumerate(np.broadcast_to(begin, (2, 2))):
        np.testing.assert_allclose(
            grids((4, 5), found)[example],
            whole[example, i : i + 4, j : j + 5],
            atol=1e-5,
        )


@pytest.mark.parametrize("axes", [0, 1, (0, 1)])
def test_a_flipped_image_has_flipped_coordinates(axes):
    expected = np.flip(grids((6, 9), AFFINE), np.atleast_1d(axes) + 1)
    found = frames.flip_affine(AFFINE, (6, 9), axes)
    np.testing.assert_allclose(grids((6, 9), found), expected, atol=1e-5)


@pytest.mark.parametrize("new_size", [(3, 3), (12, 18), (5, 13)])
def test_a_resized_image_has_resized_coordinates(new_size):
    whole = grids((6, 9), AFFINE).astype("float32")
    resized = ops.convert_to_numpy(ops.image.resize(whole, new_size))
    found = grids(new_size, frames.resize_affine(AFFINE, (6, 9), new_size))
    # At the border there is nothing to interpolate with.
    inside = np.abs(found - resized)[:, 1:-1, 1:-1]
    if new_size == (3, 3):
        inside = np.abs(found - resized)
    assert inside.max() < 1e-4


def test_a_volume_of_nifti():
    """Against the product with the 4 x 4 matrix, voxel by voxel."""
    matrix = np.array(
        [[0, -0.7, 0, 90], [0.7, 0, 0.1, -126], [0, 0, 2.5, -72], [0, 0, 0, 1]]
    )
    affine = frames.affine_from_nifti(matrix)
    grid = ops.convert_to_numpy(coordinate_grid((3, 4, 5), affine=affine))[0]
    for index in np.ndindex(3, 4, 5):
        world = (matrix @ [*index, 1])[:3]
        np.testing.assert_allclose(grid[index], world, rtol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [(10.0, 0.0, 500.0, 0.0, -10.0, 900.0), (3.0, -4.0, 7.0, 4.0, 3.0, -2.0)],
)
def test_a_raster(transform):
    """GDAL takes (column + 0.5, row + 0.5) to the center of a pixel."""
    a, b, c, d, e, f = transform
    affine = frames.affine_from_geotransform((*transform, 0.0, 0.0, 1.0))
    grid = ops.convert_to_numpy(coordinate_grid((4, 6), affine=affine))[0]
    for row, column in np.ndindex(4, 6):
        x = a * (column + 0.5) + b * (row + 0.5) + c
        y = d * (column + 0.5) + e * (row + 0.5) + f
        np.testing.assert_allclose(grid[row, column], [y, x], rtol=1e-5)


def test_a_camera():
    """The projection of a pixel's ray, at any depth, is the pixel."""
    matrix = np.array([[500.0, 3.0, 320], [0, 480, 240], [0, 0, 1]])
    angle = 0.3
    rotation = np.array(
        [
            [np.cos(angle), 0, np.sin(angle)],
            [0, 1, 0],
            [-np.sin(angle), 0, np.cos(angle)],
        ]
    )
    rays = frames.affine_from_intrinsics(matrix, rotation)
    rays = ops.convert_to_numpy(coordinate_grid((5, 7), affine=rays))[0]
    slopes = frames.affine_from_intrinsics(matrix)
    slopes = ops.convert_to_numpy(coordinate_grid((5, 7), affine=slopes))[0]
    for row, column in np.ndindex(5, 7):
        direction = rotation.T @ rays[row, column].astype("float64")
        np.testing.assert_allclose(
            slopes[row, column], direction[[1, 0]] / direction[2], atol=1e-6
        )
        u, v, depth = matrix @ (3.5 * direction)
        np.testing.assert_allclose(
            [v / depth, u / depth], [row, column], atol=1e-3
        )


def test_malformed_matrices():
    with pytest.raises(ValueError, match=r"Received: matrix of shape \(3, 4\)"):
        frames.affine_from_nifti(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="Received: padding='full'"):
        frames.conv_affine(AFFINE, (4, 4), 3, padding="full")
