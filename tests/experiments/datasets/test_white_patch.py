import numpy as np
import pytest

from keras_coordconv.experiments.datasets import white_patch


@pytest.mark.parametrize("split", white_patch.SPLITS)
@pytest.mark.parametrize("patch_size", [1, 3])
def test_each_place_once_and_drawn_there(split, patch_size):
    subsets = [
        white_patch.load_arrays(split, subset, patch_size)
        for subset in ("train", "test")
    ]
    centers = np.concatenate([s["location"] for s in subsets])
    images = np.concatenate([s["image"] for s in subsets])
    assert len({*map(tuple, centers)}) == len(centers) == (33 - patch_size) ** 2
    assert (images.sum(axis=(1, 2, 3)) == patch_size**2).all()
    rows, columns = images[..., 0].nonzero()[1:]
    found = np.stack([columns, rows], axis=-1)
    np.testing.assert_allclose(
        found.reshape(len(centers), -1, 2).mean(axis=1), centers
    )


def test_quadrant():
    test = white_patch.load_arrays("quadrant", "test")["location"]
    assert len(test) == 16**2 and test.min() == 16
    test = white_patch.load_arrays("uniform", "test")["location"]
    assert 0.2 < len(test) / 32**2 < 0.3


def test_limit_examples():
    some = white_patch.load_arrays(limit_examples=10)["location"]
    assert len(some) == 10 and some[0, 1] == 0 and some[-1, 1] == 31
