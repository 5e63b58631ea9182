import pathlib

import numpy as np
import pytest

from keras_coordconv.experiments.models import tiles as models

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.mark.parametrize("axes", ["2", "3"])
def test_tiles_are_the_whole_with_the_coordinates_of_the_world(scripts, axes):
    import tiles

    for frame, seamless in (("world", True), ("tensor", False)):
        metrics = tiles.main(
            [*SMALL, "--axes", axes, "--frame", frame, "--workdir", frame]
        )
        assert (metrics["tiles_largest_difference"] < 1e-4) == seamless
        for place in ("whole", "tiles"):
            assert 0 <= metrics[f"{place}_accuracy"] <= 1
        figure = pathlib.Path(frame, "figures/classes.png").read_bytes()
        assert figure.startswith(b"\x89PNG")


def test_killed_and_resumed(scripts):
    flags = ("--limit-examples", 24, "--epochs", 4)
    _, history = scripts.kill_and_resume("tiles", *flags)
    assert len(history) == 5


def test_what_the_segmenter_sees():
    model = models.place_segmenter()
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
