import numpy as np
import pytest

from keras_coordconv.datasets import not_so_clevr

pytestmark = pytest.mark.tensorflow_backend


def convolve_with_block(center):
    """A one-hot image convolved with a 9x9 block of ones, in plain loops."""
    padded = np.pad(center[..., 0], 4)
    image = np.zeros((64, 64))
    for row in range(9):
        for column in range(9):
            image += padded[row : row + 64, column : column + 64]
    return image[..., None]


@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("uniform", 2368, 768), ("quadrant", 2407, 729)],
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


def test_uniform_split_draws_as_the_released_code():
    # One draw per centre, x outer, y inner.
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


def test_tasks():
    centers = not_so_clevr.subset_locations("quadrant", "test")
    inputs, targets = not_so_clevr.task_arrays(
        "coordinate_classification", "quadrant", "test"
    )
    np.testing.assert_array_equal(inputs, centers)
    points = not_so_clevr.draw_centers(centers)
    np.testing.assert_array_equal(
        targets, points.reshape(len(points), -1).argmax(axis=-1)
    )
    inputs, targets = not_so_clevr.task_arrays(
        "coordinate_regression", "quadrant", "test"
    )
    np.testing.assert_array_equal(inputs, points)
    np.testing.assert_allclose(targets, centers / 64)
    inputs, targets = not_so_clevr.task_arrays("rendering", "quadrant", "test")
    np.testing.assert_array_equal(inputs, centers)
    np.testing.assert_array_equal(targets, not_so_clevr.draw_squares(centers))


@pytest.mark.parametrize("task", not_so_clevr.TASKS)
def test_dataset_holds_the_arrays(task):
    expected = not_so_clevr.task_arrays(task, "uniform", "test")
    dataset = not_so_clevr.task_dataset(task, "uniform", "test", batch_size=100)
    batches = list(dataset.as_numpy_iterator())
    assert [len(inputs) for inputs, _ in batches] == [100] * 7 + [68]
    for index in range(2):
        np.testing.assert_array_equal(
            np.concatenate([batch[index] for batch in batches]),
            expected[index],
        )


def test_shuffled_dataset():
    task = "coordinate_classification"
    expected = not_so_clevr.task_arrays(task)[1]

    def epochs(seed):
        dataset = not_so_clevr.task_dataset(task, shuffle_seed=seed)
        return [
            np.concatenate([y for _, y in dataset.as_numpy_iterator()])
            for _ in range(2)
        ]

    first, second = epochs(seed=1)
    assert sorted(first) == sorted(second) == sorted(expected)
    assert (first != second).any() and (first != expected).any()
    np.testing.assert_array_equal(epochs(seed=1)[0], first)
    assert (epochs(seed=2)[0] != first).any()


def test_limited_dataset_spreads_over_the_subset():
    dataset = not_so_clevr.task_dataset(
        "coordinate_classification", batch_size=50, limit_examples=10
    )
    ((inputs, _),) = dataset.as_numpy_iterator()
    assert len(inputs) == 10
    assert inputs[0].tolist() == [4, 4] and inputs[-1].tolist() == [59, 59]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("classification", "uniform", "train"), "task"),
        (("rendering", "random", "train"), "split"),
        (("rendering", "uniform", "validation"), "subset"),
    ],
)
def test_unknown_names(arguments, name):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        not_so_clevr.task_arrays(*arguments)
