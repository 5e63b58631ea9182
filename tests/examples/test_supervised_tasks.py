"""The three scripts, started as a user would start them, on little data."""

import importlib
import json
import pathlib
import signal

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_backend

TASKS = ("coordinate_classification", "coordinate_regression", "rendering")
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.mark.parametrize(
    ("task", "layer", "split", "flags", "parameters", "score"),
    [
        (TASKS[0], "coordconv", "quadrant", (), 7553, "accuracy"),
        (TASKS[0], "conv", "uniform", ("--width", "1"), 103_585, "accuracy"),
        (TASKS[1], "coordconv", "quadrant", (), 906, "distance"),
        (TASKS[1], "conv", "quadrant", (), 12_914, "distance"),
        (TASKS[1], "conv", "uniform", (), 72_850, "distance"),
        (TASKS[2], "coordconv", "uniform", (), 8074, "iou"),
        (TASKS[2], "conv", "quadrant", ("--width", "1"), 103_585, "iou"),
    ],
)
def test_small_run(
    scripts, capsys, task, layer, split, flags, parameters, score
):
    import tensorflow as tf

    arguments = (*("--layer", layer, "--split", split), *flags, *SMALL)
    if layer == "coordconv":
        printed = scripts.run(task, *arguments, "--export-dir", "exported")
    else:
        importlib.import_module(task).main(arguments)
        printed = capsys.readouterr().out
    folder = pathlib.Path("runs", task, "001")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["parameters"] == parameters
    for subset in ("train", "test"):
        assert np.isfinite(metrics[f"{subset}_loss"])
        assert np.isfinite(metrics[f"{subset}_{score}"])
    assert metrics["seconds"] > 0
    args = json.loads((folder / "args.json").read_text())
    assert (args["layer"], args["split"]) == (layer, split)
    assert "nan" not in printed + (folder / "history.csv").read_text()
    figures = list((folder / "figures").iterdir())
    assert len(figures) == 2
    for path in figures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert str(path) in printed
    written = {"runs", "exported"} if layer == "coordconv" else {"runs"}
    assert {path.name for path in pathlib.Path().iterdir()} == written
    if layer == "conv":
        return
    scripts.load_trained(folder)
    served = tf.saved_model.load("exported/1")
    answer = served.signatures["tensor"](
        **(
            {"image": tf.zeros((1, 64, 64, 1))}
            if task == "coordinate_regression"
            else {"location": tf.constant([[10.0, 20.0]])}
        )
    )
    assert (
        set(answer)
        == {
            "coordinate_classification": {"probabilities", "row", "column"},
            "coordinate_regression": {"location"},
            "rendering": {"image"},
        }[task]
    )


def test_steps_and_dtype_policy(scripts):
    import coordinate_classification

    coordinate_classification.main(
        (
            *("--workdir", "run", "--limit-examples", "24", "--epochs", "2"),
            *("--steps-per-epoch", "3", "--dtype-policy", "mixed_bfloat16"),
        )
    )
    model = keras.saving.load_model("run/model.keras")
    assert int(model.optimizer.iterations) in (3, 6)
    assert model.get_layer("conv2").compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == "float32"


@pytest.mark.parametrize(
    "task",
    [
        "coordinate_regression",
        pytest.param("coordinate_classification", marks=pytest.mark.slow),
        pytest.param("rendering", marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed(scripts, capsys, task):
    """The history is that of a run that was not interrupted, row by row."""
    flags = ("--limit-examples", 24, "--epochs", 6, "--seed", 5)
    process = scripts.start(task, *flags, "--workdir", "run")
    if task == "rendering":
        scripts.send(signal.SIGINT, "run/checkpoint-2", process)
        line = scripts.finish(process, 130).splitlines()[-1]
        assert line.startswith("Interrupted. To continue: python ")
        assert line.endswith(f"{task}.py --resume --workdir run")
    else:
        scripts.kill("run/checkpoint-2", process)
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(task).main(["--workdir", "run"])
    assert "--resume" in capsys.readouterr().err
    printed = scripts.run(task, "--resume", "--workdir", "run")
    assert "Epoch 1/6" not in printed and "Epoch 6/6" in printed
    scripts.run(task, *flags, "--workdir", "whole")
    history = scripts.read_history("run")
    assert len(history) == 7
    assert history == scripts.read_history("whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--filter-size", "3"), "--filter-size has no effect here"),
        (("--workdir", "file/run"), "Cannot access file/run: Not a directory"),
        (("--resume",), "--resume needs --workdir"),
        (("--seed", "-1"), "argument --seed: must be at least 0"),
    ],
)
def test_bad_arguments(scripts, capsys, arguments, message):
    import coordinate_classification

    pathlib.Path("file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        coordinate_classification.main((*SMALL, *arguments))
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in pathlib.Path().iterdir()] == ["file"]
