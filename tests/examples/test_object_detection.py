"""The detector's script, started as a user would start it, on few digits."""

import json
import pathlib

import numpy as np
import object_detection
import pytest

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("sklearn")

SMALL = ("--stand-in", "--limit-examples", "24", "--epochs", "2")


def test_small_run(scripts):
    import tensorflow as tf

    printed = scripts.run("object_detection", *SMALL, "--export-dir", "served")
    folder = pathlib.Path("runs/object_detection/001")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["parameters"] == 83_838
    assert np.isfinite(list(metrics.values())).all()
    for subset in ("train", "test"):
        for name in ("loss", "deltas_loss", "proposals_loss", "ap"):
            assert metrics[f"{subset}_{name}"] >= 0
        # Pairs that do not belong together pull the mean of all down.
        assert 0 < metrics[f"{subset}_iou"] < metrics[f"{subset}_best_iou"] < 1
        assert metrics[f"{subset}_ap50"] >= metrics[f"{subset}_ap"]
    assert "Stand-in: scikit-learn's digits, not MNIST." in printed
    (figure,) = (folder / "figures").iterdir()
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert str(figure) in printed
    served = tf.saved_model.load("served/1")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 1), "uint8")
    answers = [
        served.signatures["serving_default"](
            image_bytes=tf.io.encode_png(image)[None]
        ),
        served.signatures["tensor"](
            image=tf.constant(image[None] / 255, tf.float32)
        ),
    ]
    for answer in answers:
        assert answer["boxes"].shape == (1, 10, 4)
        assert answer["scores"].shape == (1, 10)
    np.testing.assert_allclose(
        answers[0]["boxes"], answers[1]["boxes"], atol=1e-3
    )


@pytest.mark.slow
def test_scrambled_anchors(scripts):
    flags = ("--layer", "conv", "--anchors", "scrambled")
    metrics = object_detection.main((*SMALL, "--steps-per-epoch", "1", *flags))
    assert metrics["parameters"] == 81_590


@pytest.mark.slow
def test_interrupted_and_resumed(scripts):
    """The history is that of a run that was not interrupted, row by row."""
    flags = (*SMALL[:-1], "4", "--recipe", "modern", "--coordinates", "boxes")
    process = scripts.start("object_detection", *flags, "--workdir", "run")
    scripts.kill("run/checkpoint-2", process)
    printed = scripts.run("object_detection", "--resume", "--workdir", "run")
    assert "Epoch 1/4" not in printed and "Epoch 4/4" in printed
    object_detection.main((*flags, "--workdir", "whole"))
    histories = [
        np.genfromtxt(f"{folder}/history.csv", delimiter=",", names=True)
        for folder in ("run", "whole")
    ]
    assert "val_proposals_loss" in histories[0].dtype.names
    for name in set(histories[0].dtype.names) - {"seconds"}:
        np.testing.assert_array_equal(histories[0][name], histories[1][name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data-dir", "empty"), "MNIST not found"),
        (("--coordinates", "image,input"), "received image,input"),
        (
            ("--layer", "conv", "--coordinates", "image"),
            "--coordinates has no effect here: it applies only to --layer",
        ),
        (
            ("--stand-in", "--data-dir", "mnist"),
            "--data-dir has no effect here: it applies only to --no-stand-in",
        ),
        (
            ("--schedule", "steps"),
            "--schedule has no effect here: it applies only to --recipe modern",
        ),
    ],
)
def test_bad_arguments(scripts, capsys, flags, message):
    with pytest.raises(SystemExit, match="2"):
        object_detection.main(flags)
    assert message in capsys.readouterr().err
    assert not list(pathlib.Path().iterdir())
