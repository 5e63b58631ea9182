import pathlib

import instances
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.mark.parametrize("frame", ["center", "image"])
def test_small_run(scripts, frame):
    metrics = instances.main([*SMALL, "--frame", frame, "--workdir", "run"])
    for name in ("test", "all", "larger"):
        assert 0 <= metrics[f"{name}_iou"] <= 1
    figure = pathlib.Path("run/figures/instances.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    scripts.load_trained("run")


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    flags = ("--limit-examples", 24, "--epochs", 4)
    _, history = scripts.kill_and_resume("instances", *flags)
    assert len(history) == 5


def test_what_is_asked_for_moves_with_the_canvas():
    """Coordinates from the center: elsewhere, the answer is the same."""
    model = instances.mask_model()
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
    label = np.array([[[1, 1, 0], [2, 2, 0]]])
    numbers = np.array([[[1, 0, 0], [2, 2, 2]]])
    assert instances.mean_iou(label, label) == 1
    assert instances.mean_iou(label, numbers) == pytest.approx(
        (1 / 2 + 2 / 3) / 2
    )


def test_each_rectangle_is_around_its_center():
    canvases = instances.draw_canvases(3, cells=4, seed=1)
    image, label = canvases["image"][..., 0], canvases["label"]
    assert image.shape == label.shape == (3, 48, 48)
    np.testing.assert_array_equal(image, label > 0)
    for example in range(3):
        for number in range(1, 17):
            pixels = np.argwhere(label[example] == number)
            first, last = pixels.min(axis=0), pixels.max(axis=0)
            lengths = last - first + 1
            assert len(pixels) == lengths.prod()
            assert lengths.min() >= 3 and lengths.max() <= 9
            center = canvases["center"][example, number - 1]
            np.testing.assert_array_equal(center, (first + last) / 2)
            # It touches no other.
            around = label[example][
                first[0] - 1 : last[0] + 2, first[1] - 1 : last[1] + 2
            ]
            assert {*np.unique(around)} == {0, number}


def test_questions_are_about_the_rectangle_at_the_center():
    canvases = instances.draw_canvases(20, seed=4)
    queries = instances.make_queries(20, seed=4)
    np.testing.assert_array_equal(queries["image"], canvases["image"])
    numbers = set()
    for label, center, mask in zip(
        canvases["label"], queries["center"], queries["mask"], strict=True
    ):
        number = label[tuple(center.astype(int))]
        np.testing.assert_array_equal(mask[..., 0], label == number)
        numbers.add(number)
    assert len(numbers) > 5 and 0 not in numbers
