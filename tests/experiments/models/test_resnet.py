"""ResNet-50 against the one in Keras, and its parameters by hand."""

import re

import keras
import numpy as np
import pytest

from keras_coordconv import CoordConv2D
from keras_coordconv.experiments.models import resnet


def random_images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(model, seed=0):
    """Sets all weights, so that no scale is zero and no statistic trivial."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith("moving_variance"):
            value = random.uniform(0.5, 1.5, weight.shape)
        elif weight.path.endswith("kernel"):
            fan_in = np.prod(weight.shape[:-1])
            value = random.normal(size=weight.shape) / np.sqrt(fan_in)
        elif weight.path.endswith("gamma"):
            value = random.uniform(0.5, 1.0, weight.shape)
        else:
            value = 0.1 * random.normal(size=weight.shape)
        weight.assign(value)


# By hand: 23,454,912 in kernels, 53,120 in scales and offsets,
# 2,049,000 in the last layer; 56 in the stem (32 without coordinates), and 5
# more channels in the first 7x7.
@pytest.mark.parametrize(
    ("arguments", "trainable"),
    [
        ({"layer": "conv"}, 25_557_032),
        ({"layer": "coordconv"}, 25_557_032 + (6 * 8 + 8) + 5 * 49 * 64),
        ({"layer": "conv_stem"}, 25_557_032 + (3 * 8 + 8) + 5 * 49 * 64),
        ({"layer": "conv", "classes": 10}, 25_557_032 - 990 * 2049),
    ],
)
def test_parameters(arguments, trainable):
    model = resnet.resnet50(**arguments)
    counted = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert counted == trainable
    assert model.count_params() == trainable + 2 * 26_560


def as_version_1_5(layer):
    """A layer of Keras's ResNet-50, without bias, its stride in the 3x3."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        config["epsilon"] = 1e-5
    if isinstance(layer, keras.layers.Conv2D):
        config["use_bias"] = False
        if layer.name.endswith("_1_conv"):
            config["strides"] = 1
        if re.fullmatch("conv[345]_block1_2_conv", layer.name):
            config |= {"strides": 2, "padding": "valid"}
            convolution = keras.layers.Conv2D.from_config(config)
            pad = keras.layers.ZeroPadding2D(1)
            return keras.Sequential([pad, convolution], name=layer.name)
    return type(layer).from_config(config)


def test_equals_keras_applications_with_the_strides_moved():
    expected = keras.models.clone_model(
        keras.applications.ResNet50(
            weights=None,
            input_shape=(64, 64, 3),
            classes=7,
            classifier_activation=None,
        ),
        clone_function=as_version_1_5,
    )
    randomize(expected)
    model = resnet.resnet50("conv", classes=7, image_size=64)
    for own, other in zip(
        [layer for layer in model.layers if layer.weights],
        [layer for layer in expected.layers if layer.weights],
        strict=True,
    ):
        assert own.name == other.name or own.name == "logits"
        own.set_weights(other.get_weights())
    images = random_images((2, 64, 64, 3))
    logits = keras.ops.convert_to_numpy(model(images, training=False))
    scale = np.ptp(logits, axis=0).max()
    assert scale > 1e-3
    np.testing.assert_allclose(
        logits, expected(images, training=False), atol=1e-5 * scale
    )


def test_strides_are_in_the_3x3_convolutions():
    model = resnet.resnet50("conv", image_size=224)
    strides = {
        layer.name: layer.strides[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert {name for name, stride in strides.items() if stride == 2} == {
        "conv1_conv",
        *(
            f"conv{stage}_block1_{i}_conv"
            for stage in (3, 4, 5)
            for i in (0, 2)
        ),
    }
    sizes = [
        model.get_layer(f"conv{stage}_block1_out").output.shape[1:3]
        for stage in (2, 3, 4, 5)
    ]
    assert sizes == [(56, 56), (28, 28), (14, 14), (7, 7)]


def test_every_block_starts_as_the_identity():
    model = resnet.resnet50("conv", classes=3, image_size=32)
    probe = keras.Model(
        model.input,
        [
            model.get_layer("conv3_block1_out").output,
            model.get_layer("conv3_block4_out").output,
        ],
    )
    before, after = probe(random_images((2, 32, 32, 3)))
    np.testing.assert_array_equal(before, after)


def test_coordconv_stem():
    """The stem has six inputs, RGB, i, j and r, in this order."""
    model = resnet.resnet50("coordconv", classes=5, image_size=(32, 48))
    stem = model.get_layer("stem")
    assert isinstance(stem, CoordConv2D)
    assert stem.kernel.shape == (1, 1, 6, 8)
    images = random_images((2, 32, 48, 3))
    i, j = np.meshgrid(
        np.linspace(-1, 1, 32), np.linspace(-1, 1, 48), indexing="ij"
    )
    coordinates = np.stack([i, j, np.hypot(i, j)], axis=-1)
    widened = np.concatenate(
        [images, np.broadcast_to(coordinates, (2, 32, 48, 3))], axis=-1
    )
    kernel = keras.ops.convert_to_numpy(stem.kernel)[0, 0]
    np.testing.assert_allclose(stem(images), widened @ kernel, atol=1e-5)
    assert model(images).shape == (2, 5)


@pytest.mark.parametrize("layer", resnet.LAYERS)
def test_unknown_size_and_mixed_precision(layer):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = resnet.resnet50(layer, classes=4, image_size=(None, None))
    for size in (32, 40):
        logits = model(random_images((1, size, size, 3)))
        assert logits.shape == (1, 4)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert (
        keras.backend.standardize_dtype(
            model.get_layer("conv2_block1_out").output.dtype
        )
        == "bfloat16"
    )


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="TensorFlow has no channels_first convolutions on a CPU",
)
@pytest.mark.parametrize("layer", ["coordconv", "conv"])
def test_channels_first(layer):
    last = resnet.resnet50(layer, 4, 32, data_format="channels_last")
    first = resnet.resnet50(layer, 4, 32, data_format="channels_first")
    randomize(last)
    first.set_weights(last.get_weights())
    images = random_images((2, 32, 32, 3))
    np.testing.assert_allclose(
        first(images.transpose(0, 3, 1, 2)), last(images), atol=1e-4
    )


def test_penalty_applies_to_kernels_only():
    model = resnet.resnet50("coordconv", classes=3, image_size=32, l2=0.5)
    squares = sum(
        np.square(keras.ops.convert_to_numpy(weight)).sum(dtype="float64")
        for weight in model.trainable_weights
        if weight.path.endswith("kernel")
    )
    np.testing.assert_allclose(
        float(keras.ops.sum(model.losses)), 0.5 * squares, rtol=1e-5
    )


def test_unknown_layer():
    with pytest.raises(ValueError, match="layer='dense'"):
        resnet.resnet50(layer="dense")
