"""Models without coordinates: plain layers with the mean as a constant."""

import keras
import numpy as np
import pytest
from conversion.test_convert import predict
from conversion.test_convert import random_inputs
from conversion.test_convert import randomize
from keras import layers
from keras import ops
from layer_table import every_layer

import keras_coordconv
from keras_coordconv import remove_coordinates


@every_layer
@pytest.mark.parametrize("use_bias", [True, False])
def test_difference_is_the_coordinates_without_their_mean(
    kind, arguments, shape, use_bias
):
    arguments = {**arguments, "activation": None}
    if kind.startswith("CoordinateChannel"):
        del arguments["activation"]
    else:
        arguments["use_bias"] = use_bias
    layer = getattr(keras_coordconv, kind)(**arguments)
    inputs = keras.Input(shape)
    model = randomize(keras.Model(inputs, layer(inputs)))
    plain = remove_coordinates(model)
    found = plain.layers[-1]
    if isinstance(found, keras.Sequential):
        found = found.layers[0]
    if not kind.startswith("CoordinateChannel"):
        assert type(found).__name__ == kind.removeprefix("Coord")
    one, two = np.random.default_rng(0).normal(size=(2, 3, *shape))
    (first,), (second,) = predict(model, [one]), predict(model, [two])
    differences = first - predict(plain, [one])[0]
    # They do not depend on the image,
    np.testing.assert_allclose(
        differences, second - predict(plain, [two])[0], atol=1e-5
    )
    np.testing.assert_allclose(differences[0], differences[1], atol=1e-5)
    # and a constant cannot come closer.
    spatial_axes = tuple(range(1, len(shape)))
    np.testing.assert_allclose(
        differences.mean(axis=spatial_axes), 0, atol=1e-5
    )
    assert np.abs(differences).max() > 1e-2


def test_bias_by_hand():
    """Three rows, the middle kernel row on the row, the last one below it."""
    layer = keras_coordconv.CoordConv1D(
        1, 3, padding="same", coordinate_range="pixel"
    )
    model = keras.Sequential([keras.Input((3, 1)), layer])
    kernel = np.array([[7.0, 0.0], [8.0, 1.0], [9.0, 10.0]])
    layer.set_weights([kernel[..., None], np.array([0.5])])
    plain = remove_coordinates(model).layers[0]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(plain.kernel)[..., 0], kernel[:, :1]
    )
    # Coordinates 0, 1, 2 and zero below: 0 + 10, 1 + 20, 2 + 0.
    np.testing.assert_allclose(
        ops.convert_to_numpy(plain.bias), [0.5 + 33 / 3], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["CoordConv2D", "CoordDepthwiseConv2D"])
def test_activation_comes_after_the_constant(name):
    arguments = {"filters": 4} if name == "CoordConv2D" else {}
    layer = getattr(keras_coordconv, name)(
        kernel_size=3, activation="tanh", data_format=None, **arguments
    )
    model = randomize(keras.Sequential([keras.Input((8, 9, 3)), layer]))
    linear = keras.Sequential(
        [
            keras.Input((8, 9, 3)),
            type(layer).from_config({**layer.get_config(), "activation": None}),
        ]
    )
    linear.set_weights(model.get_weights())
    inputs = random_inputs(model)
    (found,) = predict(remove_coordinates(model), inputs)
    (before,) = predict(remove_coordinates(linear), inputs)
    np.testing.assert_allclose(found, np.tanh(before), atol=1e-5)


def nested_model():
    """A shared layer on two sizes, one of them in a nested model."""
    shared = keras_coordconv.CoordConv2D(3, 3, padding="same", name="shared")
    inner_input = keras.Input((4, 5, 2))
    inner = keras.Model(inner_input, shared(inner_input), name="inner")
    image = keras.Input((8, 10, 2), name="image")
    small = inner(layers.AveragePooling2D(2)(image))
    small = layers.UpSampling2D()(small)
    x = layers.Concatenate()([shared(image), small])
    x = layers.BatchNormalization()(x)
    x = keras_coordconv.CoordSeparableConv2D(4, 3, activation="relu")(x)
    return randomize(keras.Model({"image": image}, {"map": x}))


def test_nested_and_shared_layers():
    model = nested_model()
    model.get_layer("shared").trainable = False
    plain = remove_coordinates(model)
    assert not any(
        type(layer).__module__.startswith("keras_coordconv")
        for layer in plain._flatten_layers()
    )
    assert plain.get_layer("shared") is plain.get_layer("inner").layers[1]
    assert not plain.get_layer("shared").trainable
    assert plain.get_layer("shared").kernel.shape == (3, 3, 2, 3)
    assert len(plain.trainable_weights) == len(model.trainable_weights)
    assert plain.output.keys() == {"map"}
    # The mean over both calls, of 80 and 20 positions: each call counts alike.
    shared = model.get_layer("shared")
    means = [
        ops.convert_to_numpy(shared(np.zeros((1, *size, 2)))).mean(
            axis=(0, 1, 2)
        )
        for size in [(8, 10), (4, 5)]
    ]
    np.testing.assert_allclose(
        ops.convert_to_numpy(plain.get_layer("shared").bias),
        np.mean(means, axis=0),
        atol=1e-5,
    )


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input((6, 7, 2))
    x = keras_coordconv.CoordinateChannel2D(use_radius=True)(inputs)
    x = keras_coordconv.CoordDepthwiseConv2D(3, activation="relu")(x)
    model = randomize(keras.Model(inputs, layers.Conv2D(3, 1)(x)))
    plain = remove_coordinates(model)
    plain.save(tmp_path / "plain.keras")
    loaded = keras.saving.load_model(tmp_path / "plain.keras")
    images = random_inputs(model)
    np.testing.assert_allclose(
        predict(loaded, images)[0], predict(plain, images)[0], atol=1e-6
    )


def frames_model():
    image = keras.Input((None, None, 1), name="image")
    affine = keras.Input((2, 3), name="affine")
    x = keras_coordconv.CoordConv2D(2, 1, name="first")(image, affine=affine)
    return randomize(keras.Model({"image": image, "affine": affine}, x))


def test_mean_over_the_frames_of_examples():
    model = frames_model()
    random = np.random.default_rng(0)
    x = {
        "image": random.normal(size=(5, 3, 4, 1)).astype("float32"),
        "affine": random.normal(size=(5, 2, 3)).astype("float32"),
    }
    plain = remove_coordinates(model, x)
    assert plain.input.keys() == {"image", "affine"}
    # The affine of the mean index, (1, 1.5).
    mean = (x["affine"] @ [1, 1.5, 1]).mean(axis=0)
    first = model.get_layer("first")
    kernel, bias = map(ops.convert_to_numpy, first.weights)
    np.testing.assert_allclose(
        ops.convert_to_numpy(plain.get_layer("first").bias),
        bias + mean @ kernel[0, 0, 1:],
        rtol=1e-5,
    )


def in_wrapper():
    inputs = keras.Input((2, 6, 7, 1))
    layer = layers.TimeDistributed(keras_coordconv.CoordConv2D(2, 3))
    return keras.Model(inputs, layer(inputs))


class Doubled(keras_coordconv.CoordConv2D):
    """Unknown to the package."""

    def convolution_op(self, inputs, kernel, **frame):
        return super().convolution_op(inputs, 2 * kernel, **frame)


@pytest.mark.parametrize(
    ("make_model", "x", "message"),
    [
        (lambda: keras.Sequential([layers.Conv2D(1, 1)]), None, "must be a bu"),
        (
            lambda: keras.Sequential(
                [keras.Input((4, 4, 1)), layers.Conv2D(1, 1)]
            ),
            None,
            "no coordinates to remove",
        ),
        (frames_model, None, "unknown. Pass `x`"),
        (in_wrapper, None, "inside a subclassed model or a wrapper"),
        (
            lambda: keras.Sequential([keras.Input((4, 4, 1)), Doubled(1, 1)]),
            None,
            "subclass cannot be removed",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((4, 4, 1)), keras_coordconv.CoordConv2D(1, 1)]
            ),
            np.zeros((2, 4, 5, 1)),
            "must be arrays of examples",
        ),
    ],
)
def test_errors(make_model, x, message):
    with pytest.raises(ValueError, match=message):
        remove_coordinates(make_model(), x)


def test_frames_need_examples():
    image, affine = keras.Input((4, 5, 1)), keras.Input((2, 3))
    x = keras_coordconv.CoordConv2D(2, 1)(image, affine=affine)
    with pytest.raises(ValueError, match="called with a frame for each"):
        remove_coordinates(keras.Model([image, affine], x))
