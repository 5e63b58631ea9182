"""The GAN of LSUN, started as a user would start it, very small."""

import json
import pathlib

import numpy as np
import pytest

from keras_coordconv.experiments.datasets import stand_in

pytestmark = pytest.mark.tensorflow_backend

SMALL = (
    *("--stand-in", "--limit-examples", "12", "--batch-size", "8"),
    *("--latent-size", "5", "--width", "0.016", "--workdir", "run"),
)


@pytest.mark.slow
def test_killed_resumed_and_exported(scripts, capsys):
    import lsun_gan
    import tensorflow as tf

    stand_in.write_stand_in("runs/stand_in", {"train": 2})
    damaged = pathlib.Path("runs/stand_in/train/bar/damaged.jpg")
    damaged.write_bytes(b"junk")
    process = scripts.start("lsun_gan", *SMALL, "--epochs", "2")
    scripts.kill("run/checkpoint-1", process)
    lsun_gan.main(["--resume", "--workdir", "run", "--export-dir", "exported"])
    printed = capsys.readouterr().out
    assert "Stand-in: ten drawn shapes, not LSUN" in printed
    assert "Epoch 1/2" not in printed and "Epoch 2/2" in printed
    metrics = json.loads(pathlib.Path("run/metrics.json").read_text())
    assert np.isfinite(metrics["generator_loss"])
    sheets = sorted(path.name for path in pathlib.Path("run/figures").iterdir())
    assert sheets[-1] == "samples_002.png"
    served = tf.saved_model.load("exported/1")
    answer = served.signatures["tensor"](latent=tf.zeros((2, 5)))
    assert answer["image"].shape == (2, 64, 64, 3)
    assert answer["image_bytes"].numpy()[0].startswith(b"\x89PNG")


def test_no_data(scripts, capsys):
    import lsun_gan

    pathlib.Path("empty").mkdir()
    for flags in ((), ("--data-dir", "nowhere"), ("--data-dir", "empty")):
        with pytest.raises(SystemExit, match="2"):
            lsun_gan.main(flags)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("error: LSUN not found:")
        assert "--data-dir FOLDER" in lines[2] and "--stand-in" in lines[3]
    assert [path.name for path in pathlib.Path().iterdir()] == ["empty"]
