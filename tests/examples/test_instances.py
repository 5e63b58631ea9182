import pathlib

import numpy as np
import pytest

from keras_coordconv.experiments.models import instances as models

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.mark.parametrize("frame", ["center", "image"])
def test_small_run(scripts, frame):
    import instances

    metrics = instances.main([*SMALL, "--frame", frame, "--workdir", "run"])
    for name in ("test", "all", "larger"):
        assert 0 <= metrics[f"{name}_iou"] <= 1
    figure = pathlib.Path("run/figures/instances.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    scripts.load_best("run")


def test_killed_and_resumed(scripts):
    flags = ("--limit-examples", 24, "--epochs", 4)
    _, history = scripts.kill_and_resume("instances", *flags)
    assert len(history) == 5


def test_what_is_asked_for_moves_with_the_canvas():
    """Coordinates from the center: elsewhere, the answer is the same."""
    model = models.mask_net()
    image = np.zeros((2, 40, 40, 1))
    image[0, 15:19, 15:20] = 1
    image[1, 18:22, 20:25] = 1
    affine = np.repeat(np.eye(2, 3)[None], 2, axis=0)
    affine[..., -1] -= [[16.5, 17], [19.5, 22]]
    logits = model.predict({"image": image, "affine": affine}, verbose=0)
    np.testing.assert_allclose(
        logits[0, 8:28, 8:28], logits[1, 11:31, 13:33], atol=1e-5
    )


def test_one_by_one():
    import instances

    label = np.array([[[1, 1, 0], [2, 2, 0]]])
    numbers = np.array([[[1, 0, 0], [2, 2, 2]]])
    assert instances.mean_iou(label, label) == 1
    assert instances.mean_iou(label, numbers) == pytest.approx(
        (1 / 2 + 2 / 3) / 2
    )
