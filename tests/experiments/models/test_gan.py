import numpy as np
import pytest
from keras import ops
from numpy_convolution import convolve
from numpy_convolution import taps
from reference import append_coordinates

from keras_coordconv.experiments.models import gan
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import CoordConv2DTranspose

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(-1, 1, (4, 64, 64, 3)).astype("float32")
LATENT = RANDOM.uniform(-1, 1, (4, 6)).astype("float32")


def count_trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def test_parameters_of_the_paper():
    for model, parameters in (
        (gan.coordconv_generator(), 444_931),
        (gan.conv_generator(), 6_413_315),
        (gan.discriminator(), 4_316_545),
        (gan.discriminator(coordinates="first"), 4_319_745),
    ):
        assert count_trainable(model) == parameters


def test_coordinates_in_all_layers():
    """Two more input channels for each 5x5 kernel, with 3 to 512 filters."""
    kernels = {
        gan.conv_generator: (256 + 128 + 64 + 3),
        gan.discriminator: (64 + 128 + 256 + 512),
    }
    for build, filters in kernels.items():
        plain, coordconv = build(), build(coordinates="all")
        more = count_trainable(coordconv) - count_trainable(plain)
        assert more == 2 * 25 * filters
        layers = [
            layer
            for layer in coordconv.layers
            if isinstance(layer, CoordConv2D | CoordConv2DTranspose)
        ]
        assert len(layers) == 4


def test_width():
    narrow = gan.discriminator(width=0.25, coordinates="first")
    filters = [narrow.get_layer(f"conv{i}").filters for i in (1, 2, 3, 4)]
    assert filters == [16, 32, 64, 128]
    # 5x5 kernels and biases, batch normalization, and the logit.
    assert count_trainable(narrow) == sum(
        (
            *(25 * (3 + 2) * 16 + 16, 25 * 16 * 32 + 32),
            *(25 * 32 * 64 + 64, 25 * 64 * 128 + 128),
            *(2 * (32 + 64 + 128), 16 * 128 + 1),
        )
    )


def test_coordconv_generator_in_numpy():
    model = gan.coordconv_generator(latent_size=6, width=1 / 64)
    x = np.broadcast_to(LATENT[:, None, None].astype(float), (4, 64, 64, 6))
    x = append_coordinates(x)
    for name in (*(f"conv{index}" for index in range(1, 8)), "image"):
        kernel, bias = model.get_layer(name).get_weights()
        axes = [taps(64, kernel.shape[0], padding="same")] * 2
        x = convolve(x[..., None, :], kernel[..., None, :], axes)[..., 0, :]
        x = x + bias
        x = x if name == "image" else np.maximum(x, 0)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(LATENT)["image"]), x, atol=1e-5
    )


@pytest.mark.parametrize("build", [gan.coordconv_generator, gan.conv_generator])
def test_images(build):
    model = build(latent_size=6, width=1 / 16)
    assert [tensor.name for tensor in model.inputs] == ["latent"]
    latent = 100 * LATENT
    image = ops.convert_to_numpy(model(latent)["image"])
    assert image.shape == (4, 64, 64, 3)
    assert np.abs(image).max() <= 1 or build is gan.coordconv_generator
    # -1 is black and 1 is white; values beyond are clipped.
    expected = np.round(255 * np.clip((image + 1) / 2, 0, 1))
    assert np.abs(gan.draw(model, latent) - expected).max() <= 1
    served = gan.serving_outputs(model(latent))["image"]
    np.testing.assert_allclose(
        ops.convert_to_numpy(served), np.clip((image + 1) / 2, 0, 1), atol=1e-6
    )


def cross_entropy(logits, target):
    """Mean sigmoid cross-entropy, in NumPy."""
    signed = np.asarray(logits, float) * (1 if target else -1)
    return np.mean(np.log1p(np.exp(-signed)))


def values(model):
    return [ops.convert_to_numpy(v) for v in model.trainable_variables]


def moved(before, model):
    return [
        not np.array_equal(old, new)
        for old, new in zip(before, values(model), strict=True)
    ]


@pytest.mark.parametrize("coordinates", ["none", "all"])
def test_deconvolutions_do_not_start_saturated(coordinates):
    latent = RANDOM.uniform(-1, 1, (4, 100)).astype("float32")
    model = gan.conv_generator(100, coordinates=coordinates)
    image = ops.convert_to_numpy(model(latent, training=True)["image"])
    assert np.abs(image).max() < 0.99


def test_each_step_trains_its_own_part():
    generator = gan.conv_generator(6, width=1 / 16)
    discriminator = gan.discriminator(1 / 16, "first")
    models = generator, discriminator
    discriminator_step = gan.discriminator_step(*models, "sgd")
    generator_step = gan.generator_step(*models, "sgd")
    ones, zeros = np.ones((4, 1)), np.zeros((4, 1))
    for _ in range(2):
        before = values(generator), values(discriminator)
        # With batch statistics, separate for real and generated images.
        image = generator(LATENT, training=True)["image"]
        expected = [
            cross_entropy(ops.convert_to_numpy(logits), target)
            for logits, target in (
                (discriminator(IMAGES, training=True), 1),
                (discriminator(image, training=True), 0),
            )
        ]
        logs = discriminator_step.train_on_batch(
            {"image": IMAGES, "latent": LATENT},
            {"real": ones, "generated": zeros},
            return_dict=True,
        )
        np.testing.assert_allclose(
            [logs["real_loss"], logs["generated_loss"], logs["loss"]],
            [*expected, sum(expected)],
            rtol=1e-4,
        )
        assert not any(moved(before[0], generator))
        assert all(moved(before[1], discriminator)[:1])
        discriminator_step.reset_metrics()

        before = values(generator), values(discriminator)
        image = generator(LATENT, training=True)["image"]
        logits = discriminator(image, training=True)
        logs = generator_step.train_on_batch(LATENT, ones, return_dict=True)
        expected = cross_entropy(ops.convert_to_numpy(logits), 1)
        assert logs["loss"] == pytest.approx(expected, rel=1e-4)
        assert all(moved(before[0], generator)[:1])
        assert not any(moved(before[1], discriminator))
        generator_step.reset_metrics()


def test_steps_share_the_variables():
    generator = gan.coordconv_generator(6, width=1 / 64)
    discriminator = gan.discriminator(1 / 64)
    step = gan.generator_step(generator, discriminator, "sgd")
    assert count_trainable(step) == count_trainable(generator)
    ids = {id(v) for v in generator.variables + discriminator.variables}
    found = step.trainable_variables + step.non_trainable_variables
    assert len(found) == len(ids) and {id(v) for v in found} == ids


def test_unknown_coordinates():
    for build in (gan.conv_generator, gan.discriminator):
        with pytest.raises(ValueError, match="Received: coordinates='some'"):
            build(coordinates="some")
