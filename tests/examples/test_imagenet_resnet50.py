"""The ImageNet script, started as a user would start it, on drawn shapes."""

import json
import socket

import keras
import numpy as np
import pytest

import keras_coordconv  # noqa: F401, for loading its models

pytestmark = pytest.mark.tensorflow_backend

SCRIPT = "imagenet_resnet50"
SMALL = (
    *("--stand-in", "--limit-examples", "32", "--image-size", "32"),
    *("--batch-size", "8", "--warmup-epochs", "0", "--workdir", "run"),
)


def epochs_of(folder):
    rows = (folder / "history.csv").read_text().splitlines()
    return [int(row.split(",")[0]) for row in rows[1:]]


def test_images_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    import imagenet_resnet50

    monkeypatch.chdir(tmp_path)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.jpg").write_bytes(b"junk")
    with pytest.raises(SystemExit, match="2"):
        imagenet_resnet50.main(
            [
                *("--data-dir", "photos", "--workdir", "run", "--epochs", "1"),
                *("--image-size", "32", "--batch-size", "2"),
            ]
        )
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: Could not decode")
    assert error.endswith("Are the files still there?")


@pytest.mark.slow
def test_killed_resumed_and_exported(scripts, tmp_path):
    import tensorflow as tf

    from keras_coordconv.experiments.datasets import stand_in

    # A small one, which the script takes as it is.
    stand_in.write_stand_in("runs/stand_in", {"train": 10, "val": 10})
    arguments = (
        *(*SMALL, "--epochs", 3, "--export-dir", "exported"),
        *("--schedule", "cosine", "--label-smoothing", 0.1),
        *("--ema-momentum", 0.9),
    )
    process = scripts.start(SCRIPT, *arguments)
    scripts.kill("run/checkpoint-1", process)
    printed = scripts.run(SCRIPT, "--resume", "--workdir", "run")
    folder = tmp_path / "run"
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

    scripts.load_trained("run")
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    photos = sorted((tmp_path / "runs/stand_in/val").rglob("*.jpg"))[::20]
    files = [path.read_bytes() for path in photos]
    served = tf.saved_model.load(str(tmp_path / "exported/1"))
    answer = served.signatures["serving_default"](
        image_bytes=tf.constant(files)
    )
    assert set(answer) == {"probabilities", "class_ids", "labels"}
    from keras_coordconv.experiments.datasets import imagenet

    images = [imagenet.preprocess_for_evaluation(f, 32) for f in files]
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


def test_no_data(scripts, tmp_path):
    printed = scripts.run(SCRIPT, status=2, HOME=str(tmp_path / "home"))
    lines = printed.splitlines()[-4:]
    assert lines[0].startswith("error: imagenet2012 not found: prepare it")
    assert "ILSVRC2012_img_train.tar" in lines[1]
    assert "--data-dir FOLDER" in lines[2]
    assert "--stand-in" in lines[3]
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data-dir", "nowhere"), "Data folder not found"),
        (("--stand-in", "--data-dir", "x"), "applies only to --no-stand-in"),
        (("--devices", "none"), "argument --devices"),
        (("--ema-momentum", "1"), "less than 1, received 1"),
        (("--label-smoothing", "nan"), "less than 1, received nan"),
        (("--layer", "dense"), "invalid choice: 'dense'"),
    ],
)
def test_bad_arguments(scripts, tmp_path, capsys, arguments, message):
    import imagenet_resnet50

    with pytest.raises(SystemExit, match="2"):
        imagenet_resnet50.main(arguments)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_devices(scripts, tmp_path):
    losses = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        flags = ("--epochs", 2, "--seed", 3, "--devices", devices)
        printed = scripts.run(SCRIPT, *SMALL, *flags, "--workdir", folder)
        assert f"{devices} devices" in printed
        rows = (folder / "history.csv").read_text().splitlines()
        column = rows[0].split(",").index("cross_entropy")
        losses[devices] = [float(row.split(",")[column]) for row in rows[1:]]
    np.testing.assert_allclose(losses[1], losses[2], rtol=2e-3)


@pytest.mark.slow
def test_two_processes_one_killed_and_resumed(scripts, tmp_path):
    pytest.importorskip("jax")
    begin = (*SMALL, "--epochs", 4, "--devices", 1)

    def start_both(*flags):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        return [
            scripts.start(
                *(SCRIPT, *flags),
                KERAS_BACKEND="jax",
                KERAS_DISTRIBUTION_JOB_ADDRESSES=f"127.0.0.1:{port}",
                KERAS_DISTRIBUTION_NUM_PROCESSES="2",
                KERAS_DISTRIBUTION_PROCESS_ID=process,
            )
            for process in "01"
        ]

    first, second = start_both(*begin)
    scripts.kill("run/checkpoint-2", second, first)
    both = start_both("--resume", "--workdir", "run")
    printed = [scripts.finish(process) for process in both]
    folder = tmp_path / "run"
    assert "Epoch 1/4" not in printed[0] and "Epoch 4/4" in printed[0]
    assert epochs_of(folder) == [1, 2, 3, 4]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["devices"] == 2
    # What JAX trained is loaded on TensorFlow.
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    assert np.isfinite(model(np.zeros((1, 32, 32, 3)))).all()
