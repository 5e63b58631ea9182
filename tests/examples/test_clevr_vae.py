"""The VAE of Sort-of-Clevr, started as a user would start it, very small."""

import json
import pathlib

import keras
import numpy as np
import pytest

from keras_coordconv.models import gan
from keras_coordconv.models import vae

pytestmark = pytest.mark.tensorflow_backend

SMALL = (
    *("--limit-examples", "16", "--batch-size", "8", "--latent-size", "5"),
    *("--width", "0.016", "--dtype-policy", "float32"),
)


def test_killed_resumed_and_exported(scripts, monkeypatch, capsys):
    import clevr_vae
    import tensorflow as tf

    flags = (*SMALL, "--epochs", "3", "--seed", "5", "--layer", "conv")
    process = scripts.start("clevr_vae", *flags, "--workdir", "run")
    scripts.kill("run/checkpoint-1", process)
    # Two lines.
    monkeypatch.setattr(clevr_vae, "SAMPLES", 4)
    for more in (("--resume",), (*flags, "--export-dir", "exported")):
        folder = "whole" if "--epochs" in more else "run"
        clevr_vae.main((*more, "--workdir", folder))
    history = scripts.read_history("run")
    assert len(history) == 4 and history == scripts.read_history("whole")

    printed = capsys.readouterr().out
    metrics = json.loads(pathlib.Path("whole/metrics.json").read_text())
    for name in ("train_loss", "test_loss", "jumps", "entropy_red"):
        assert np.isfinite(metrics[name])
    for name in ("lines", "coverage"):
        path = f"whole/figures/{name}.png"
        assert pathlib.Path(path).read_bytes().startswith(b"\x89PNG")
        assert path in printed
    latent = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    served = tf.saved_model.load("exported/1")
    answer = served.signatures["tensor"](latent=tf.constant(latent))
    best = keras.saving.load_model("whole/best.keras")
    image = best.get_layer("decoder").predict(latent, verbose=0)["image"]
    np.testing.assert_allclose(answer["image"], (image + 1) / 2, atol=1e-5)
    assert answer["image_bytes"].numpy()[0].startswith(b"\x89PNG")


def test_lines_between_images():
    import clevr_vae

    encoder = vae.encoder("conv", latent_size=3, width=1 / 64)
    decoder = vae.decoder("coordconv", latent_size=3, width=1 / 64)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), "uint8")
    lines = clevr_vae.interpolate(encoder, decoder, images)
    assert lines.shape == (2, 32, 64, 64, 3)
    codes = encoder.predict(images / 127.5 - 1, verbose=0)["mean"]
    # Each line has the images of its ends; 16 of 31 steps are a bit more than
    # half of the way.
    for number, (first, last) in enumerate(codes.reshape(2, 2, 3)):
        latent = [first, first + 16 / 31 * (last - first), last]
        np.testing.assert_allclose(
            lines[number, [0, 16, 31]].astype(float),
            gan.draw(decoder, np.array(latent)),
            atol=1,
        )
