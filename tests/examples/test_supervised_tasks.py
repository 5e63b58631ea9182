"""The three scripts, started as a user would start them, on little data."""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow_backend

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
TASKS = ("coordinate_classification", "coordinate_regression", "rendering")
SMALL = ("--limit-examples", "24", "--epochs", "2")


def script(task="coordinate_classification"):
    return EXAMPLES / f"{task}.py"


def run(*arguments, cwd, task):
    return subprocess.run(
        [sys.executable, script(task), *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("task", TASKS)
def test_help(tmp_path, task):
    printed = run("--help", cwd=tmp_path, task=task).stdout
    for flag in ("--layer", "--split", "--seed", "--workdir", "--resume"):
        assert flag in printed
    assert "for coordconv quadrant" in " ".join(printed.split())
    assert not list(tmp_path.iterdir())


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
    tmp_path,
    monkeypatch,
    capsys,
    task,
    layer,
    split,
    flags,
    parameters,
    score,
):
    import tensorflow as tf

    arguments = (*("--layer", layer, "--split", split), *flags, *SMALL)
    if layer == "coordconv":
        arguments += ("--export-dir", "exported")
        printed = run(*arguments, cwd=tmp_path, task=task).stdout
    else:
        monkeypatch.chdir(tmp_path)
        importlib.import_module(task).main(arguments)
        printed = capsys.readouterr().out
    folder = tmp_path / "runs" / task / "001"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["parameters"] == parameters
    for subset in ("train", "test"):
        assert np.isfinite(metrics[f"{subset}_loss"])
        assert np.isfinite(metrics[f"{subset}_{score}"])
    assert metrics["seconds"] > 0
    args = json.loads((folder / "args.json").read_text())
    assert (args["layer"], args["split"]) == (layer, split)
    figures = list((folder / "figures").iterdir())
    assert len(figures) == 2
    for path in figures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert str(path.relative_to(tmp_path)) in printed
    if layer == "conv":
        return
    served = tf.saved_model.load(str(tmp_path / "exported/1"))
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


def test_steps_and_dtype_policy(tmp_path, monkeypatch):
    import coordinate_classification

    monkeypatch.chdir(tmp_path)
    coordinate_classification.main(
        (
            *("--workdir", "run", "--limit-examples", "24", "--epochs", "1"),
            *("--steps-per-epoch", "3", "--dtype-policy", "mixed_bfloat16"),
        )
    )
    model = keras.saving.load_model(tmp_path / "run/best.keras")
    assert int(model.optimizer.iterations) == 3
    assert model.get_layer("conv2").compute_dtype == "bfloat16"
    assert model.get_layer("logits").compute_dtype == "float32"


def test_export_needs_tensorflow(tmp_path):
    pytest.importorskip("jax")
    process = subprocess.run(
        [sys.executable, script(), "--export-dir", "out"],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert "Received: KERAS_BACKEND=jax" in process.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("task", TASKS)
def test_interrupted_and_resumed(tmp_path, monkeypatch, capsys, task):
    arguments = (
        *("--workdir", "run", "--limit-examples", "24", "--epochs", "12"),
    )
    process = subprocess.Popen(
        [sys.executable, script(task), *arguments],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/checkpoint-3.weights.h5")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    history = (tmp_path / "run/history.csv").read_text().splitlines()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(task).main(arguments)
    assert "--resume" in capsys.readouterr().err
    printed = run(*arguments, "--resume", cwd=tmp_path, task=task).stdout
    assert "Epoch 1/12" not in printed and "Epoch 12/12" in printed
    resumed = (tmp_path / "run/history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in resumed[1:]] == [
        str(epoch) for epoch in range(1, 13)
    ]
    # At most the epoch that was under way is trained again.
    assert resumed[: len(history) - 1] == history[:-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--filters", "3"), "unrecognized arguments: --filters"),
        (("--layer", "dense"), "invalid choice: 'dense'"),
        (("--epochs", "0"), "must be at least 1"),
        (("--learning-rate", "-1"), "must be at least 0"),
        (("--learning-rate", "much"), "--learning-rate"),
        (("--warmup-epochs", "2"), "--warmup-epochs must be less than"),
        (("--dtype-policy", "half"), "must be a Keras dtype policy"),
        (("--export-dir", "file/out"), "--export-dir must be a writable"),
        (("--workdir", "file/run"), "The work folder must be writable"),
        (("--resume", "--workdir", "typo"), "Received: no run in typo"),
        (("--resume",), "--resume needs a run to continue"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, capsys, arguments, message):
    import coordinate_classification

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        coordinate_classification.main((*SMALL, *arguments))
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
