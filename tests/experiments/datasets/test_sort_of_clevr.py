"""The images against plain loops that draw them pixel by pixel."""

import time

import numpy as np
import pytest

from keras_coordconv.experiments.datasets import sort_of_clevr

pytestmark = pytest.mark.tensorflow_backend


def draw_pixel_by_pixel(red_center, blue_center, red_shape, blue_shape):
    image = np.full((64, 64, 3), 255, "uint8")
    for center, shape, color in (
        (red_center, red_shape, (255, 0, 0)),
        (blue_center, blue_shape, (0, 0, 255)),
    ):
        for y in range(64):
            for x in range(64):
                offsets = np.abs(np.array([x, y]) - center)
                length = np.hypot(*offsets) if shape else offsets.max()
                if length <= 10:
                    image[y, x] = color
    return image


def test_images():
    examples = sort_of_clevr.load_arrays("train", 24)
    image = examples.pop("image")
    assert image.dtype == np.uint8
    for index in range(24):
        drawn = draw_pixel_by_pixel(*(a[index] for a in examples.values()))
        np.testing.assert_array_equal(image[index], drawn)
    # One of them has a blue object in front of a red one.
    red = (image == (255, 0, 0)).all(axis=-1).sum(axis=(1, 2))
    whole = np.where(examples["red_shape"], 317, 441)
    assert (red <= whole).all() and (red < whole).any()


def test_distribution_of_the_scenes():
    scenes = sort_of_clevr.scenes()
    red, blue = scenes["red_center"], scenes["blue_center"]
    assert len(red) == 50_000
    for centers in (red, blue):
        assert centers.dtype == np.int32
        assert set(np.unique(centers)) == set(range(10, 54))
    distances = np.hypot(*(red - blue).T)
    assert distances.min() == 20
    for color in ("red", "blue"):
        assert np.mean(scenes[f"{color}_shape"]) == pytest.approx(0.5, abs=0.01)
    shapes = scenes["red_shape"] * 2 + scenes["blue_shape"]
    np.testing.assert_allclose(np.bincount(shapes) / 50_000, 0.25, atol=0.01)
    # The four quarters of the canvas, separately for columns and rows.
    right, below = (red > 31).T
    np.testing.assert_allclose(
        np.bincount(2 * right + below) / 50_000, 0.25, atol=0.01
    )
    assert np.corrcoef(red[:, 0], red[:, 1])[0, 1] == pytest.approx(0, abs=0.02)


def test_blue_is_uniform_where_it_is_allowed():
    """Against rejection sampling of pairs that are far enough apart."""
    random = np.random.default_rng(0)
    red = random.integers(10, 54, (50_000, 2))
    blue = random.integers(10, 54, (50_000, 2))
    while (near := ((red - blue) ** 2).sum(axis=-1) < 400).any():
        blue[near] = random.integers(10, 54, (near.sum(), 2))
    scenes = sort_of_clevr.scenes()
    edges = np.arange(10, 65, 11)

    def histogram(*centers):
        points = np.concatenate(centers, axis=-1)
        counts, _ = np.histogramdd(points, [edges] * 4)
        return counts.ravel()

    expected = histogram(red, blue)
    found = histogram(scenes["red_center"], scenes["blue_center"])
    both = expected + found
    chi_squared = np.sum((expected - found)[both > 0] ** 2 / both[both > 0])
    cells = np.sum(both > 0)
    # The mean of the statistic is the number of cells, its variance twice that.
    assert chi_squared == pytest.approx(cells, abs=4 * np.sqrt(2 * cells))


def test_each_example_has_its_own_random_numbers(monkeypatch):
    few, more = (sort_of_clevr.scenes("train", n) for n in (10, 1000))
    for name, array in few.items():
        np.testing.assert_array_equal(more[name][:10], array)
    test = sort_of_clevr.scenes("test")["red_center"]
    assert len(test) == 1000
    assert (test != more["red_center"]).any(axis=-1).mean() > 0.99
    # They follow those of the training examples.
    monkeypatch.setitem(sort_of_clevr.EXAMPLES, "train", 50_005)
    longer = sort_of_clevr.scenes("train")["red_center"]
    np.testing.assert_array_equal(longer[50_000:], test[:5])


def test_dataset_has_the_examples_of_load_arrays():
    expected = sort_of_clevr.load_arrays("test", 50)
    dataset = sort_of_clevr.dataset("test", 20, limit_examples=50)
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["image"]) for batch in batches] == [20, 20, 10]
    for name, array in expected.items():
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in batches]), array
        )


def test_many_images_take_little_time():
    start = time.process_time()
    assert len(sort_of_clevr.load_arrays("train", 5000)["image"]) == 5000
    assert time.process_time() - start < 3


def test_unknown_subset():
    with pytest.raises(ValueError, match="Received: subset='validation'"):
        sort_of_clevr.load_arrays("validation")
