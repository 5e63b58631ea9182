"""The GAN of Sort-of-Clevr, started as a user would start it, very small."""

import io
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from keras_coordconv.experiments.datasets import sort_of_clevr

pytestmark = pytest.mark.tensorflow_backend

SMALL = (
    *("--limit-examples", "16", "--batch-size", "8", "--latent-size", "5"),
    *("--width", "0.016", "--discriminator-width", "0.016"),
    *("--dtype-policy", "float32"),
)


def test_small_run(scripts, capsys, monkeypatch):
    import clevr_gan
    import plot
    import tensorflow as tf

    monkeypatch.setattr(clevr_gan, "SAMPLES", 20)
    flags = (*SMALL, "--epochs", "1")
    clevr_gan.main((*flags, "--workdir", "run", "--export-dir", "exported"))
    printed = capsys.readouterr().out
    metrics = json.loads(pathlib.Path("run/metrics.json").read_text())
    for name in ("both_objects", "entropy_red", "precision", "recall"):
        assert np.isfinite(metrics[name])
    for name in ("samples_001", "coverage"):
        path = f"run/figures/{name}.png"
        assert pathlib.Path(path).read_bytes().startswith(b"\x89PNG")
        assert path in printed

    latent = np.random.default_rng(0).uniform(-1, 1, (3, 5)).astype("float32")
    served = tf.saved_model.load("exported/1")
    answer = served.signatures["tensor"](latent=tf.constant(latent))
    generator = keras.saving.load_model("run/model.keras")
    images = generator.predict(latent, verbose=0)["image"]
    np.testing.assert_allclose(answer["image"], (images + 1) / 2, atol=1e-5)
    file = Image.open(io.BytesIO(answer["image_bytes"].numpy()[2]))
    np.testing.assert_allclose(
        np.asarray(file), 127.5 * (images[2] + 1), atol=0.51
    )
    plot.main(["generators", "run", "--output", "figure_7.png"])
    assert pathlib.Path("figure_7.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    import clevr_gan

    flags = (*SMALL, "--epochs", "3", "--seed", "5", "--layer", "conv")
    process = scripts.start("clevr_gan", *flags, "--workdir", "run")
    scripts.kill("run/checkpoint-1", process)
    clevr_gan.main(("--resume", "--workdir", "run"))
    clevr_gan.main((*flags, "--workdir", "whole"))
    history = scripts.read_history("run")
    assert len(history) == 4 and history == scripts.read_history("whole")
    sheets = [path.name for path in pathlib.Path("run/figures").glob("s*")]
    assert sorted(sheets) == [f"samples_00{n}.png" for n in (1, 2, 3)]


def test_divergence_keeps_the_last_good_state(scripts, capsys, monkeypatch):
    import clevr_gan

    losses = iter((1.0, np.nan))
    monkeypatch.setattr(
        clevr_gan.adversarial,
        "train_epoch",
        lambda *_: {"generator_loss": next(losses)},
    )
    monkeypatch.setattr(clevr_gan, "SAMPLES", 20)
    with pytest.raises(SystemExit, match="2"):
        clevr_gan.main((*SMALL, "--workdir", "run", "--epochs", "3"))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "diverged: generator_loss=nan in epoch 2." in error
    assert "The state after epoch 1 is in run." in error
    assert len(scripts.read_history("run")) == 2
    assert pathlib.Path("run/checkpoint-1").is_dir()


def test_what_the_nets_see(scripts, monkeypatch):
    """The images of the data set, in [-1, 1], each one once an epoch."""
    import clevr_gan

    seen = []

    def record(discriminator, generator, images, random):
        seen.extend(np.concatenate(list(images.as_numpy_iterator())))
        return {"discriminator_loss": 1.0, "generator_loss": 1.0}

    monkeypatch.setattr(clevr_gan.adversarial, "train_epoch", record)
    monkeypatch.setattr(clevr_gan, "SAMPLES", 20)
    clevr_gan.main((*SMALL, "--epochs", "1"))
    expected = sort_of_clevr.load_arrays("train", 16)["image"] / 127.5 - 1
    for images in (seen, expected):
        assert len(images) == 16
    order = [np.array(images).reshape(16, -1) for images in (seen, expected)]
    found, right = (rows[np.lexsort(rows.T)] for rows in order)
    np.testing.assert_allclose(found, right, atol=1e-6)
