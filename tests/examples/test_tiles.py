import pathlib

import numpy as np
import pytest
import tiles

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.mark.parametrize("axes", ["2", "3"])
def test_tiles_are_the_whole_with_the_coordinates_of_the_world(scripts, axes):
    for frame, seamless in (("world", True), ("tensor", False)):
        metrics = tiles.main(
            [*SMALL, "--axes", axes, "--frame", frame, "--workdir", frame]
        )
        assert (metrics["tiles_largest_difference"] < 1e-4) == seamless
        for place in ("whole", "tiles"):
            assert 0 <= metrics[f"{place}_accuracy"] <= 1
        figure = pathlib.Path(frame, "figures/classes.png").read_bytes()
        assert figure.startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    flags = ("--limit-examples", 24, "--epochs", 4)
    _, history = scripts.kill_and_resume("tiles", *flags)
    assert len(history) == 5


def test_what_the_segmenter_sees():
    model = tiles.segmentation_model()
    image = np.zeros((1, 12, 14, 1))
    affine = np.array([[[1 / 40, 0, 0], [0, 1 / 50, 0]]])
    logits = model.predict({"image": image, "affine": affine}, verbose=0)
    assert logits.shape == (1, 8, 10, 3)
    image[0, 6, 7] = 1
    changed = model.predict({"image": image, "affine": affine}, verbose=0)
    # Within two pixels: (6, 7) is the output (4, 5).
    rows, columns = np.nonzero(abs(changed - logits).max(axis=(0, 3)) > 1e-6)
    assert rows.min() >= 2 and rows.max() <= 6
    assert columns.min() >= 3 and columns.max() <= 7


def test_the_class_is_the_half():
    canvases = tiles.draw_canvases(3)
    image, label = canvases["image"][..., 0], canvases["label"]
    assert image.shape == label.shape == (3, 96, 96)
    assert {*np.unique(image)} == {0, 1}
    np.testing.assert_array_equal(label[:, :, :48], image[:, :, :48])
    np.testing.assert_array_equal(label[:, :, 48:], 2 * image[:, :, 48:])
    # 24 squares of 25 pixels, some of which overlap.
    assert (image.sum(axis=(1, 2)) <= 24 * 25).all()
    assert (image.sum(axis=(1, 2)) > 18 * 25).all()


def test_crops_are_cut_from_the_canvases():
    whole = tiles.draw_canvases(4, seed=5)
    crops = tiles.draw_crops(4, 32, margin=2, seed=5)
    for index, (row, column) in enumerate(crops["begin"]):
        image = whole["image"][index, row : row + 32, column : column + 32]
        np.testing.assert_array_equal(crops["image"][index], image)
        label = whole["label"][
            index, row + 2 : row + 30, column + 2 : column + 30
        ]
        np.testing.assert_array_equal(crops["label"][index], label)


def test_cubes_in_a_volume():
    whole = tiles.draw_canvases(2, seed=3, axes=3)
    image, label = whole["image"][..., 0], whole["label"]
    assert image.shape == label.shape == (2, 48, 48, 48)
    np.testing.assert_array_equal(label[..., :24], image[..., :24])
    np.testing.assert_array_equal(label[..., 24:], 2 * image[..., 24:])
    assert (image.sum(axis=(1, 2, 3)) > 18 * 125).all()
    patches = tiles.draw_crops(2, 16, margin=2, seed=3, axes=3)
    for index, begin in enumerate(patches["begin"]):
        i, j, k = (slice(first, first + 16) for first in begin)
        np.testing.assert_array_equal(
            patches["image"][index, ..., 0], image[index, i, j, k]
        )
        np.testing.assert_array_equal(
            patches["label"][index], label[index, i, j, k][2:-2, 2:-2, 2:-2]
        )
