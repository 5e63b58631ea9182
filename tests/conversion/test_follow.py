"""Frames that are followed through models, and models that take them."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_coordconv import convert_to_coordconv
from keras_coordconv import follow_affine
from keras_coordconv import frames


def pyramid(size=(28, 24)):
    """A net that moves the pixels in every way that frames can follow."""
    image = keras.Input((*size, 1), name="image")
    x = layers.Conv2D(1, 3, use_bias=False, name="first")(image)
    x = layers.ZeroPadding2D(((2, 0), (1, 3)))(x)
    x = layers.Conv2D(1, (3, 2), (2, 1), use_bias=False, name="strided")(x)
    x = layers.AveragePooling2D((1, 2), padding="same")(x)
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, name="kept")(x)
    x = layers.UpSampling2D((2, 3), interpolation="bilinear")(x * 2.0)
    x = layers.Cropping2D(((1, 2), (0, 3)))(x)
    x = layers.Conv2D(1, 3, dilation_rate=2, use_bias=False, name="dilated")(x)
    return keras.Model(image, layers.Conv2D(2, 1, name="last")(x), name="net")


def random_inputs(size=(28, 24), batch=2):
    random = np.random.default_rng(0)
    return [
        random.normal(size=(batch, *size, 1)).astype("float32"),
        random.normal(size=(batch, 2, 3)).astype("float32"),
    ]


@pytest.mark.parametrize("select", ["first", "all", ["dilated", "kept"]])
def test_the_outputs_stay_until_training_moves_them(select):
    model = pyramid()
    converted = convert_to_coordconv(model, select, affine=True)
    assert converted.name == model.name
    assert [tensor.name for tensor in converted.inputs] == ["image", "affine"]
    inputs = random_inputs()
    expected = model.predict(inputs[0], verbose=0)
    np.testing.assert_allclose(
        converted.predict(inputs, verbose=0), expected, rtol=1e-5, atol=1e-5
    )
    converted.compile("sgd", "mse")
    converted.train_on_batch(inputs, np.ones_like(expected))
    outputs = converted.predict(inputs, verbose=0)
    others = converted.predict([inputs[0], inputs[1] + 1], verbose=0)
    assert abs(outputs - others).max() > 0


def test_a_convolution_sees_the_coordinates_of_its_pixels():
    """Of the center of all pixels that make an output, to the second axis."""
    size = (28, 24)
    model = pyramid(size)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.set_weights([np.ones_like(w) for w in layer.get_weights()])
    map_of = keras.Model(model.input, model.get_layer("last").input)
    one_white_pixel = np.eye(np.prod(size), dtype="float32")
    seen = map_of.predict(one_white_pixel.reshape(-1, *size, 1), verbose=0)
    pixels = np.stack(np.indices(size), axis=-1).reshape(-1, 2)
    centers = np.tensordot(seen[..., 0], pixels, axes=(0, 0))
    centers /= seen[..., 0].sum(axis=0)[..., None]

    converted = convert_to_coordconv(model, ["last"], affine=True)
    last = converted.get_layer("last")
    kernel, bias = last.get_weights()
    kernel[:, :, 0], kernel[:, :, 1:] = 0, np.eye(2)
    last.set_weights([kernel, 0 * bias])
    affine = np.array(
        [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[-2.0, 0.5, 54], [0.3, -0.1, 2]]]
    )
    found = converted.predict([np.zeros((2, *size, 1)), affine], verbose=0)
    # The border is not symmetric: there, some of what is seen is padding.
    inside = (slice(5, -6), slice(7, -7))
    assert centers[inside].size >= 50
    np.testing.assert_allclose(found[0][inside], centers[inside], atol=1e-3)
    np.testing.assert_allclose(
        found[1][inside],
        centers[inside] @ affine[1, :, :2].T + affine[1, :, 2],
        atol=1e-3,
    )


NARROWING = [
    layers.Conv1D(1, 3, 2, padding="same"),
    layers.Conv1D(1, 4, 3, padding="same"),
    layers.Conv1D(1, 2, 3, padding="same"),
    layers.Conv1D(1, 3, padding="causal"),
    layers.Conv1D(1, 3, dilation_rate=2, padding="same"),
    layers.SeparableConv1D(1, 4, 2),
    layers.DepthwiseConv1D(3, 2),
    layers.AveragePooling1D(2),
    layers.MaxPooling1D(3, 2, padding="same"),
    layers.ZeroPadding1D((2, 1)),
    layers.Cropping1D((1, 2)),
    layers.Activation("relu"),
]
WIDENING = [
    layers.Conv1DTranspose(1, 3, 2, padding="same"),
    layers.Conv1DTranspose(1, 4, 3, padding="same"),
    layers.Conv1DTranspose(1, 4, 2, output_padding=1),
    layers.Conv1DTranspose(1, 5, 2, padding="same", output_padding=1),
    layers.UpSampling1D(2),
    layers.UpSampling1D(3),
    layers.ZeroPadding1D((2, 1)),
    layers.Cropping1D((1, 2)),
]


def random_chain(candidates, seed, size):
    """A model with kernels of ones, and the frame of its outputs."""
    draw = np.random.default_rng(seed)
    image, affine = keras.Input((size, 1)), keras.Input((1, 2))
    x = image
    for number in draw.choice(len(candidates), 3):
        layer = candidates[number]
        x = type(layer).from_config(layer.get_config() | {"name": None})(x)
    model = keras.Model(image, x)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, float(weight.name != "bias")))
    return model, keras.Model([image, affine], follow_affine(x, affine))


def frame_of_outputs(frame, size):
    inputs = [np.zeros((1, size, 1)), np.array([[[1.0, 0.0]]])]
    return ops.convert_to_numpy(frame(inputs))[0, 0]


def centers(seen):
    """The middle of what is not zero, where no border cuts it off."""
    ends = [row.nonzero()[0][[0, -1]] for row in seen if row.any()]
    numbers = np.flatnonzero(seen.any(axis=1))
    longest = max(last - first for first, last in ends)
    for number, (first, last) in zip(numbers, ends, strict=True):
        if last - first == longest:
            yield number, (first + last) / 2


@pytest.mark.parametrize("size", [46, 47, 48])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_an_output_is_at_the_center_of_its_receptive_field(seed, known, size):
    model, frame = random_chain(NARROWING, seed, size if known else None)
    seen = ops.convert_to_numpy(model(np.eye(size)[..., None]))[..., 0]
    step, begin = frame_of_outputs(frame, size)
    found = [*centers(seen.T)]
    assert len(found) >= 2
    for output, center in found:
        np.testing.assert_allclose(step * output + begin, center, atol=1e-4)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_a_pixel_is_at_the_center_of_what_sees_it(seed, known):
    size = 12
    model, frame = random_chain(WIDENING, seed, size if known else None)
    seen = ops.convert_to_numpy(model(np.eye(size)[..., None]))[..., 0]
    step, begin = frame_of_outputs(frame, size)
    found = [*centers(seen)]
    assert found
    for pixel, center in found:
        np.testing.assert_allclose(step * center + begin, pixel, atol=1e-4)


def test_nested_models_are_followed():
    image, other = keras.Input((20, 1)), keras.Input((20, 1))
    inner = keras.Model([other, image], layers.AveragePooling1D(2)(image))
    outer = keras.Input((20, 1))
    x = layers.Conv1D(1, 3)(layers.ZeroPadding1D((4, 0))(outer))
    x = layers.Cropping1D((0, 2))(x)
    affine = keras.Input((1, 2))
    x = inner([keras.ops.zeros_like(x), x])
    frame = keras.Model([outer, affine], follow_affine(x, affine))
    np.testing.assert_allclose(frame_of_outputs(frame, 20), [2, -2.5])


def test_unknown_sizes():
    images = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 3, 2, padding="same", name="first")(images)
    x = layers.Conv2D(2, 3, name="second")(layers.BatchNormalization()(x))
    model = keras.Model(images, layers.Conv2D(2, 1, name="third")(x))
    converted = convert_to_coordconv(model, "all", affine=True)
    inputs = random_inputs((9, 7))
    np.testing.assert_allclose(
        converted.predict(inputs, verbose=0),
        model.predict(inputs[0], verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )


def test_crops_are_parts_of_the_whole():
    """With "valid" padding, also where a second CoordConv comes after."""
    image = keras.Input((None, None, 1))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    x = layers.Conv2D(3, 2)(x)
    nets = {}
    for size in ((20, 17), (9, 8)):
        nets[size] = convert_to_coordconv(
            keras.models.clone_model(
                keras.Model(image, x),
                input_tensors=keras.Input((*size, 1)),
            ),
            "all",
            affine=True,
        )
    random = np.random.default_rng(0)
    weights = [random.normal(size=w.shape) for w in nets[20, 17].get_weights()]
    for net in nets.values():
        net.set_weights(weights)
    whole, affine = random_inputs((20, 17))
    parts = whole[:, 3:12, 5:13]
    of_parts = frames.crop_affine(affine, (3, 5))
    outputs = nets[20, 17].predict([whole, affine], verbose=0)
    np.testing.assert_allclose(
        nets[9, 8].predict([parts, ops.convert_to_numpy(of_parts)], verbose=0),
        outputs[:, 3:9, 5:10],
        rtol=1e-4,
        atol=1e-4,
    )


def test_saved_and_loaded(tmp_path):
    converted = convert_to_coordconv(pyramid(), "all", affine=True)
    converted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = random_inputs()
    np.testing.assert_allclose(
        loaded.predict(inputs, verbose=0), converted.predict(inputs, verbose=0)
    )


@pytest.mark.tensorflow_backend
def test_the_frame_is_a_named_input_of_the_export(tmp_path):
    import tensorflow as tf

    image = keras.Input((None, None, 1), name="image")
    net = keras.Model(image, layers.Conv2D(3, 2, name="outputs")(image))
    converted = convert_to_coordconv(net, affine=True)
    converted.export(tmp_path / "net", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "net"))
    signature = served.signatures["serving_default"]
    assert set(signature.structured_input_signature[1]) == {"image", "affine"}
    image, affine = random_inputs()
    (outputs,) = signature(
        image=tf.constant(image), affine=tf.constant(affine)
    ).values()
    np.testing.assert_allclose(
        outputs,
        converted.predict([image, affine], verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_sequential_model_and_inputs_by_name():
    sequential = keras.Sequential(
        [keras.Input((6, 2), name="steps"), layers.Conv1D(2, 3)]
    )
    converted = convert_to_coordconv(sequential, affine=True)
    assert isinstance(converted.input, list)
    steps = keras.Input((6, 2), name="steps")
    named = keras.Model({"steps": steps}, {"y": layers.Conv1D(2, 3)(steps)})
    converted = convert_to_coordconv(named, affine=True)
    inputs = {
        "steps": np.ones((3, 6, 2)),
        "affine": np.ones((3, 1, 2)),
    }
    assert converted.predict(inputs, verbose=0)["y"].shape == (3, 4, 2)


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (layers.GlobalAveragePooling2D(keepdims=True), "GlobalAverage"),
        (layers.Reshape((4, 16, 1)), r"from size \(8, 8\) to \(4, 16\)"),
    ],
)
def test_layers_that_frames_cannot_follow(between, message):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), between, layers.Conv2D(1, 1, name="chosen")]
    )
    with pytest.raises(ValueError, match=message):
        convert_to_coordconv(model, ["chosen"], affine=True)


def test_nested_convolutions():
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(1, 1, name="inside")]
    )
    model = keras.Sequential([keras.Input((8, 8, 1)), inner])
    with pytest.raises(ValueError, match="inside a nested model"):
        convert_to_coordconv(model, affine=True)


@pytest.mark.slow
def test_applications():
    model = keras.applications.ResNet50(weights=None, input_shape=(96, 96, 3))
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (4, 96, 96, 3)).astype("float32")
    affine = random.normal(size=(4, 2, 3)).astype("float32")
    expected = model.predict(images, verbose=0)
    for select in ("first", "all"):
        converted = convert_to_coordconv(model, select, affine=True)
        np.testing.assert_allclose(
            converted.predict([images, affine], verbose=0),
            expected,
            rtol=1e-4,
            atol=1e-6,
        )
