"""The ImageNet script, started as a user would start it, on drawn shapes."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_coordconv  # noqa: F401, for loading its models

pytestmark = pytest.mark.tensorflow_backend

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/imagenet_resnet50.py"
SMALL = (
    *("--stand-in", "--limit-examples", "32", "--image-size", "32"),
    *("--batch-size", "8", "--warmup-epochs", "0", "--workdir", "run"),
)


def start(*arguments, cwd, **environment):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, status=0):
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == status, printed
    return printed


def wait_for(path, *processes):
    deadline = time.monotonic() + 500
    while not path.exists():
        for process in processes:
            assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(*processes):
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def epochs_of(folder):
    rows = (folder / "history.csv").read_text().splitlines()
    return [int(row.split(",")[0]) for row in rows[1:]]


def test_help(tmp_path):
    printed = finish(start("--help", cwd=tmp_path))
    for flag in ("--data-dir", "--stand-in", "--devices", "--coordinator"):
        assert flag in printed
    assert "90 for ImageNet, 6 for --stand-in" in " ".join(printed.split())
    assert not list(tmp_path.iterdir())


def test_killed_resumed_and_exported(tmp_path):
    import tensorflow as tf

    from keras_coordconv.datasets import stand_in

    # A small one, which the script takes as it is.
    stand_in.write_stand_in(
        tmp_path / "runs/stand_in", {"train": 10, "val": 10}
    )
    arguments = (
        *(*SMALL, "--epochs", 3, "--export-dir", "exported"),
        *("--schedule", "cosine", "--label-smoothing", 0.1),
        *("--ema-momentum", 0.9),
    )
    process = start(*arguments, cwd=tmp_path)
    folder = tmp_path / "run"
    wait_for(folder / "checkpoint-1.weights.h5", process)
    kill(process)
    printed = finish(start(*arguments, "--resume", cwd=tmp_path))
    assert "Stand-in: ten drawn shapes, not ImageNet" in printed
    assert "Epoch 1/3" not in printed and "Epoch 3/3" in printed
    assert "images_per_second" in printed
    assert epochs_of(folder) == [1, 2, 3]

    metrics = json.loads((folder / "metrics.json").read_text())
    # 10 classes, and the CoordConv stem.
    assert metrics["parameters"] == 25_557_032 - 990 * 2049 + 56 + 5 * 49 * 64
    assert 0 <= metrics["test_top1"] <= metrics["test_top5"] <= 1
    assert metrics["images_per_second"] > 0 and metrics["seconds"] > 0
    assert metrics["validation_undecodable_images"] == 0

    model = keras.saving.load_model(folder / "best.keras", compile=False)
    photos = sorted((tmp_path / "runs/stand_in/val").rglob("*.jpg"))[::20]
    files = [path.read_bytes() for path in photos]
    served = tf.saved_model.load(str(tmp_path / "exported/1"))
    answer = served.signatures["serving_default"](
        image_bytes=tf.constant(files)
    )
    assert set(answer) == {"probabilities", "class_ids", "labels"}
    from keras_coordconv.datasets import imagenet

    images = [imagenet.preprocess_for_evaluation(f, 32)[1] for f in files]
    logits = keras.ops.convert_to_numpy(model(np.stack(images)))
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    order = np.argsort(-answer["probabilities"].numpy(), axis=-1)[:, :5]
    np.testing.assert_array_equal(answer["class_ids"], order)
    names = sorted(
        path.name for path in (tmp_path / "runs/stand_in/val").iterdir()
    )
    assert answer["labels"].numpy()[0, 0].decode() == names[order[0, 0]]
    card = json.loads(
        (tmp_path / "exported/1/assets.extra/model_card.json").read_text()
    )
    assert card["stand_in"] is True and card["layer"] == "coordconv"


def test_no_data(tmp_path):
    printed = finish(start(cwd=tmp_path, HOME=str(tmp_path / "home")), status=2)
    lines = printed.splitlines()[-4:]
    assert lines[0].startswith("error: ImageNet is not here: imagenet2012 must")
    assert "ILSVRC2012_img_train.tar" in lines[1]
    assert "--data-dir FOLDER" in lines[2]
    assert "--stand-in" in lines[3]
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-dir", "nowhere"), "The data folder must exist"),
        (("--processes", "2"), "--processes needs --workdir"),
        (("--devices", "none"), "argument --devices"),
        (("--ema-momentum", "1"), "less than 1, received 1"),
        (("--label-smoothing", "nan"), "less than 1, received nan"),
        (
            ("--processes", "2", "--workdir", "w", "--coordinator", "h:1"),
            "Set KERAS_BACKEND=jax",
        ),
        (("--layer", "dense"), "invalid choice: 'dense'"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, capsys, arguments, message):
    import imagenet_resnet50

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        imagenet_resnet50.main(arguments)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_devices(tmp_path):
    losses = {}
    for devices in (1, 2):
        flags = ("--epochs", 2, "--seed", 3, "--devices", devices)
        folder = tmp_path / str(devices)
        folder.mkdir()
        printed = finish(start(*SMALL, *flags, cwd=folder))
        assert f"{devices} devices" in printed
        rows = (folder / "run/history.csv").read_text().splitlines()
        column = rows[0].split(",").index("cross_entropy")
        losses[devices] = [float(row.split(",")[column]) for row in rows[1:]]
    np.testing.assert_allclose(losses[1], losses[2], rtol=2e-3)


@pytest.mark.slow
def test_two_processes_one_killed_and_resumed(tmp_path):
    pytest.importorskip("jax")
    arguments = (*SMALL, "--epochs", 4, "--devices", 1, "--processes", 2)

    def start_both(*flags):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        return [
            start(
                *(*arguments, *flags, "--coordinator", f"127.0.0.1:{port}"),
                *("--process-id", process),
                cwd=tmp_path,
                KERAS_BACKEND="jax",
            )
            for process in (0, 1)
        ]

    first, second = start_both()
    folder = tmp_path / "run"
    wait_for(folder / "checkpoint-2.weights.h5", first, second)
    kill(second, first)
    printed = [finish(process) for process in start_both("--resume")]
    assert "Epoch 1/4" not in printed[0] and "Epoch 4/4" in printed[0]
    assert epochs_of(folder) == [1, 2, 3, 4]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["devices"] == 2
    # What JAX trained is loaded on TensorFlow.
    model = keras.saving.load_model(folder / "best.keras", compile=False)
    assert np.isfinite(model(np.zeros((1, 32, 32, 3)))).all()
