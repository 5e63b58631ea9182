import numpy as np

from keras_coordconv.experiments.datasets import placed_squares


def test_the_class_is_the_half():
    canvases = placed_squares.canvases(3)
    image, label = canvases["image"][..., 0], canvases["label"]
    assert image.shape == label.shape == (3, 96, 96)
    assert {*np.unique(image)} == {0, 1}
    np.testing.assert_array_equal(label[:, :, :48], image[:, :, :48])
    np.testing.assert_array_equal(label[:, :, 48:], 2 * image[:, :, 48:])
    # 24 squares of 25 pixels, some of which overlap.
    assert (image.sum(axis=(1, 2)) <= 24 * 25).all()
    assert (image.sum(axis=(1, 2)) > 18 * 25).all()


def test_crops_are_cut_from_the_canvases():
    whole = placed_squares.canvases(4, seed=5)
    crops = placed_squares.crops(4, 32, margin=2, seed=5)
    for index, (row, column) in enumerate(crops["begin"]):
        image = whole["image"][index, row : row + 32, column : column + 32]
        np.testing.assert_array_equal(crops["image"][index], image)
        label = whole["label"][
            index, row + 2 : row + 30, column + 2 : column + 30
        ]
        np.testing.assert_array_equal(crops["label"][index], label)


def test_cubes_in_a_volume():
    whole = placed_squares.canvases(2, seed=3, axes=3)
    image, label = whole["image"][..., 0], whole["label"]
    assert image.shape == label.shape == (2, 48, 48, 48)
    np.testing.assert_array_equal(label[..., :24], image[..., :24])
    np.testing.assert_array_equal(label[..., 24:], 2 * image[..., 24:])
    assert (image.sum(axis=(1, 2, 3)) > 18 * 125).all()
    patches = placed_squares.crops(2, 16, margin=2, seed=3, axes=3)
    for index, begin in enumerate(patches["begin"]):
        i, j, k = (slice(first, first + 16) for first in begin)
        np.testing.assert_array_equal(
            patches["image"][index, ..., 0], image[index, i, j, k]
        )
        np.testing.assert_array_equal(
            patches["label"][index], label[index, i, j, k][2:-2, 2:-2, 2:-2]
        )
