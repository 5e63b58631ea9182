"""Coordinates as other projects compute them: the table of docs/recipes.md."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_coordconv import FourierFeatures
from keras_coordconv import GaussianFourierFeatures
from keras_coordconv import coordinate_grid

SHAPES = [
    *((2,), (3,), (17,), (64,), (101,)),
    *((2, 2), (2, 5), (5, 2), (7, 7), (1, 8), (9, 1), (16, 31), (64, 64)),
    *((40, 3), (2, 3, 4), (5, 5, 5), (1, 2, 9), (8, 1, 1), (6, 7, 2)),
    (3, 16, 4),
]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
# One position has no scale: theirs divide by zero, ours has the middle.
every_scaled_shape = pytest.mark.parametrize(
    "shape", [shape for shape in SHAPES if 1 not in shape], ids=str
)


def meshgrid(vectors):
    return np.stack(np.meshgrid(*vectors, indexing="ij"), axis=-1)


def check(expected, **arguments):
    shape = expected.shape[:-1]
    grid = ops.convert_to_numpy(coordinate_grid(shape, **arguments))
    assert grid.shape == expected.shape
    np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-6)


@every_scaled_shape
def test_the_paper_and_aligned_corners(shape):
    check(meshgrid([2 * np.arange(n) / (n - 1) - 1 for n in shape]))


@every_shape
def test_unaligned_corners_and_liif(shape):
    """LIIF: the cells' centers from -1 to 1, as `-1 + r + 2 * r * k`."""
    vectors = []
    for n in shape:
        r = 2 / (2 * n)
        vectors.append(-1 + r + 2 * r * np.arange(n))
    check(meshgrid(vectors), align="edges")


@every_shape
def test_fourier_neural_operators(shape):
    """The end is left out."""
    check(
        meshgrid([np.linspace(0, 1, n + 1)[:-1] for n in shape]),
        coordinate_range=(0, 1),
        align="period",
    )


@every_shape
def test_pixels(shape):
    check(meshgrid([np.arange(n) for n in shape]), coordinate_range="pixel")


@every_scaled_shape
def test_a_frequency_map(shape):
    frequency = np.linspace(0, 1, shape[0])
    along = frequency.reshape(-1, *[1] * len(shape))
    check(
        np.broadcast_to(along, (*shape, 1)),
        axes=(0,),
        coordinate_range=(0, 1),
    )


@every_scaled_shape
def test_slot_attention(shape):
    """Its two channels more per axis are linear in the coordinates."""
    grid = meshgrid([np.linspace(0, 1, n) for n in shape])
    theirs = np.concatenate([grid, 1 - grid], axis=-1)
    ours = ops.convert_to_numpy(coordinate_grid(shape, coordinate_range=(0, 1)))
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(theirs.shape[-1], 5)), random.normal()
    rank = len(shape)
    np.testing.assert_allclose(
        ours @ (weights[:rank] - weights[rank:])
        + (weights[rank:].sum(axis=0) + bias),
        theirs @ weights + bias,
        atol=1e-5,
    )


@every_scaled_shape
@pytest.mark.parametrize("bands", [1, 4])
def test_savi(shape, bands):
    """Sines of `[x, x + pi / 2]`, of all octaves of all coordinates."""
    grid = meshgrid([np.linspace(-1, 1, n) for n in shape]) * np.pi
    octaves = (grid[..., None] * 2.0 ** np.arange(bands)).reshape(*shape, -1)
    expected = np.sin(np.concatenate([octaves, octaves + np.pi / 2], axis=-1))
    grid = coordinate_grid(shape, encoding=FourierFeatures(bands))
    # The coordinate's own rounding, times its highest frequency.
    np.testing.assert_allclose(grid, expected, atol=1e-6 * 2**bands)


@every_shape
def test_random_fourier_features(shape):
    encoding = GaussianFourierFeatures(6, scale=0.7, seed=4)
    random = np.random.default_rng(4)
    matrix = 0.7 * random.standard_normal((len(shape), 6))
    centers = meshgrid([(np.arange(n) + 0.5) / n * 2 - 1 for n in shape])
    angles = 2 * np.pi * centers @ matrix
    np.testing.assert_allclose(
        coordinate_grid(shape, align="edges", encoding=encoding),
        np.concatenate([np.sin(angles), np.cos(angles)], axis=-1),
        atol=1e-5,
    )


@keras.saving.register_keras_serializable(package="test_conventions")
def spherical(coordinates):
    latitude, longitude = coordinates[..., :1], coordinates[..., 1:]
    return ops.concatenate(
        [ops.cos(latitude), ops.sin(longitude), ops.cos(longitude)], axis=-1
    )


@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s) == 2], ids=str)
def test_the_sphere(shape):
    rows, columns = shape
    latitude = np.pi / 2 - np.pi * (np.arange(rows) + 0.5) / rows
    longitude = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    latitude, longitude = np.meshgrid(latitude, longitude, indexing="ij")
    check(
        np.stack(
            [np.cos(latitude), np.sin(longitude), np.cos(longitude)], axis=-1
        ),
        coordinate_range=((np.pi / 2, -np.pi / 2), (0, 2 * np.pi)),
        align="edges",
        encoding=spherical,
    )
