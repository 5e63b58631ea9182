import keras
import numpy as np
import pytest
from keras import ops

from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.models import vae

RANDOM = np.random.default_rng(0)
MEAN = RANDOM.normal(size=(5, 3)).astype("float32")
LOG_VARIANCE = RANDOM.normal(size=(5, 3)).astype("float32")


@pytest.mark.parametrize("layer", vae.LAYERS)
def test_names_and_shapes(layer):
    encoder = vae.encoder(layer, latent_size=3, width=1 / 32)
    decoder = vae.decoder(layer, latent_size=3, width=1 / 32)
    images = RANDOM.uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    found = encoder(images)
    assert {k: v.shape for k, v in found.items()} == {
        "mean": (2, 3),
        "log_variance": (2, 3),
    }
    # 5x5 kernels with one more input channel per coordinate.
    kernel, _ = encoder.get_layer("conv1").get_weights()
    assert kernel.shape == (5, 5, 5 if layer == "coordconv" else 3, 2)
    model = vae.autoencoder(encoder, decoder)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(images)["image"]),
        ops.convert_to_numpy(decoder(found["mean"])["image"]),
        atol=1e-6,
    )


def test_divergence_in_numpy():
    layer = vae.Sampling(kl_weight=0.5)
    inputs = {"mean": MEAN, "log_variance": LOG_VARIANCE}
    np.testing.assert_array_equal(layer(inputs), MEAN)
    # Of N(m, v) from N(0, 1): (m² + v - 1 - log v) / 2.
    variance = np.exp(LOG_VARIANCE)
    divergence = (MEAN**2 + variance - 1 - np.log(variance)) / 2
    assert float(layer.losses[0]) == pytest.approx(
        0.5 * divergence.sum() / 5, rel=1e-5
    )


def test_samples_have_the_distribution():
    layer = vae.Sampling(seed=0)
    count = 20_000
    inputs = {
        "mean": np.tile(MEAN[:1], (count, 1)),
        "log_variance": np.tile(LOG_VARIANCE[:1], (count, 1)),
    }
    samples = ops.convert_to_numpy(layer(inputs, training=True))
    deviation = np.exp(LOG_VARIANCE[0] / 2)
    np.testing.assert_allclose(
        samples.mean(axis=0), MEAN[0], atol=0.03 * deviation.max()
    )
    np.testing.assert_allclose(samples.std(axis=0), deviation, rtol=0.03)


def test_fit_and_save(tmp_path):
    images = RANDOM.uniform(-1, 1, (8, 64, 64, 3)).astype("float32")
    model = vae.autoencoder(
        vae.encoder("coordconv", 3, 1 / 32), vae.decoder("coordconv", 3, 1 / 32)
    )
    model.compile("adam", {"image": "mse"})
    history = model.fit(images, {"image": images}, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    model.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0)["image"],
        model.predict(images, verbose=0)["image"],
        atol=1e-6,
    )


def test_points_of_the_decoder_depend_on_latent_and_position():
    decoder = vae.decoder("coordconv", latent_size=3, width=1 / 32)
    latent = RANDOM.normal(size=(1, 3)).astype("float32")
    outputs = decoder.get_layer("conv4").output
    found = keras.Model(decoder.input, outputs).predict(latent, verbose=0)
    row, column = 5, 30
    position = [2 * row / 31 - 1, 2 * column / 31 - 1]
    x = np.concatenate([latent[0], position])
    for index in range(1, 5):
        kernel, bias = decoder.get_layer(f"conv{index}").get_weights()
        x = np.maximum(x @ kernel[0, 0] + bias, 0)
    np.testing.assert_allclose(found[0, row, column], x, rtol=1e-5, atol=1e-6)


def test_lines_between_images():
    encoder = vae.encoder("conv", latent_size=3, width=1 / 64)
    decoder = vae.decoder("coordconv", latent_size=3, width=1 / 64)
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), "uint8")
    lines = vae.interpolate(encoder, decoder, images, steps=32)
    assert lines.shape == (2, 32, 64, 64, 3)
    codes = encoder.predict(images / 127.5 - 1, verbose=0)["mean"]
    # Each line ends in the given images; 16 of 31 steps are just over half.
    for number, (first, last) in enumerate(codes.reshape(2, 2, 3)):
        latent = [first, first + 16 / 31 * (last - first), last]
        np.testing.assert_allclose(
            lines[number, [0, 16, 31]].astype(float),
            gan.draw(decoder, np.array(latent)),
            atol=1,
        )


@pytest.mark.parametrize("build", [vae.encoder, vae.decoder])
def test_unknown_layer(build):
    with pytest.raises(ValueError, match="Received: layer='dense'"):
        build("dense")
