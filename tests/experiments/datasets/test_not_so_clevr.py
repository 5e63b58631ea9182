import numpy as np
import pytest

from keras_coordconv.experiments.datasets import not_so_clevr

pytestmark = pytest.mark.tensorflow_backend


def convolve_with_block(center):
    """Convolves a one-hot image with a 9x9 block of ones, in plain loops."""
    padded = np.pad(center[..., 0], 4)
    image = np.zeros((64, 64))
    for row in range(9):
        for column in range(9):
            image += padded[row : row + 64, column : column + 64]
    return image[..., None]


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [
        ("uniform", 2368, 768),
        ("quadrant", 2407, 729),
        ("band", 56**2 - 15 * 56, 15 * 56),
        ("border", 48**2, 56**2 - 48**2),
        ("middle", 56**2 - 28**2, 28**2),
    ],
)
def test_split_sizes(split, train, test):
    subsets = [
        {tuple(c) for c in not_so_clevr.subset_locations(split, s).tolist()}
        for s in ("train", "test")
    ]
    assert [len(subset) for subset in subsets] == [train, test]
    everywhere = {(x, y) for x in range(4, 60) for y in range(4, 60)}
    assert subsets[0] | subsets[1] == everywhere
    assert not subsets[0] & subsets[1]


def test_uniform_split_draws_as_the_authors_code():
    # One draw per center: x in the outer loop, y in the inner loop.
    random = np.random.RandomState(20202)
    test = [
        [x, y]
        for x in range(4, 60)
        for y in range(4, 60)
        if random.uniform() < 0.25
    ]
    split = not_so_clevr.subset_locations("uniform", "test")
    assert split.tolist() == test


def test_quadrant_split():
    test = not_so_clevr.subset_locations("quadrant", "test")
    assert test.min() == 33 and test.max() == 59


def test_regions():
    def test_set(split):
        test = not_so_clevr.subset_locations(split, "test").tolist()
        return {tuple(center) for center in test}

    everywhere = [(x, y) for x in range(4, 60) for y in range(4, 60)]
    assert test_set("band") == {(x, y) for x, y in everywhere if x >= 45}
    assert test_set("border") == {
        (x, y) for x, y in everywhere if not (8 <= x <= 55 and 8 <= y <= 55)
    }
    assert test_set("middle") == {
        (x, y) for x, y in everywhere if 18 <= x <= 45 and 18 <= y <= 45
    }


@pytest.mark.parametrize("split", ["quadrant", "band", "border", "middle"])
def test_validation_set_is_next_to_the_test_set(split):
    subsets = {
        name: not_so_clevr.subset_locations(split, name)
        for name in ("train", "test", "fit", "validation")
    }
    as_sets = {
        name: {tuple(center) for center in centers.tolist()}
        for name, centers in subsets.items()
    }
    assert as_sets["fit"] | as_sets["validation"] == as_sets["train"]
    assert not as_sets["fit"] & as_sets["validation"]
    assert 330 < len(as_sets["validation"]) < 380

    def distance_to_test(centers):
        steps = np.abs(centers[:, None] - subsets["test"][None]).max(axis=-1)
        return steps.min(axis=-1)

    nearest = distance_to_test(subsets["fit"]).min()
    assert distance_to_test(subsets["validation"]).max() == nearest - 1


def test_validation_set_of_the_uniform_split_is_drawn_at_random():
    train, fit, validation = (
        {tuple(center) for center in centers.tolist()}
        for centers in (
            not_so_clevr.subset_locations("uniform", name)
            for name in ("train", "fit", "validation")
        )
    )
    assert fit | validation == train and not fit & validation
    assert 0.13 < len(validation) / len(train) < 0.17


def test_images():
    centers = np.array([[4, 59], [59, 4], [30, 12]])
    points = not_so_clevr.draw_centers(centers)
    squares = not_so_clevr.draw_squares(centers)
    assert points.shape == squares.shape == (3, 64, 64, 1)
    assert points.dtype == squares.dtype == np.float32
    for (x, y), point, square in zip(centers, points, squares, strict=True):
        assert np.argwhere(point[..., 0]).tolist() == [[y, x]]
        np.testing.assert_array_equal(square, convolve_with_block(point))
        assert set(np.unique(square)) == {0.0, 1.0}
        assert square.sum() == 81


def test_load_arrays():
    centers = not_so_clevr.subset_locations("quadrant", "test")
    examples = not_so_clevr.load_arrays("quadrant", "test")
    points = not_so_clevr.draw_centers(centers)
    expected = {
        "location": centers,
        "normalized_location": centers / 64,
        "pixel": points.reshape(len(points), -1).argmax(axis=-1),
        "center": points,
        "image": not_so_clevr.draw_squares(centers),
    }
    assert examples.keys() == expected.keys()
    for name, array in examples.items():
        np.testing.assert_allclose(array, expected[name], err_msg=name)
        assert array.dtype == ("int32" if name == "pixel" else "float32")


def test_dataset_has_the_examples_of_load_arrays():
    expected = not_so_clevr.load_arrays("uniform", "test")
    dataset = not_so_clevr.dataset("uniform", "test", batch_size=100)
    batches = list(dataset.as_numpy_iterator())
    assert [len(batch["pixel"]) for batch in batches] == [100] * 7 + [68]
    for name, array in expected.items():
        np.testing.assert_array_equal(
            np.concatenate([batch[name] for batch in batches]), array
        )


def test_limited_dataset_spreads_over_the_subset():
    dataset = not_so_clevr.dataset(batch_size=50, limit_examples=10)
    ((batch,),) = [dataset.as_numpy_iterator()]
    assert len(batch["location"]) == 10
    assert batch["location"][0].tolist() == [4, 4]
    assert batch["location"][-1].tolist() == [59, 59]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("random", "train"), "split"),
        (("uniform", "holdout"), "subset"),
    ],
)
def test_unknown_names(arguments, name):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        not_so_clevr.load_arrays(*arguments)
