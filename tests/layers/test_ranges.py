"""Layers whose coordinates come with each example, as ranges."""

import random

import keras
import numpy as np
import pytest
from layer_settings import Setting
from numpy_layers import NumpyLayer

import keras_coordconv

# Name, arguments, input shape without the batch.
LAYERS = [
    ("CoordinateChannel1D", {}, (6, 2)),
    ("CoordinateChannel2D", {"use_radius": True}, (5, 6, 2)),
    ("CoordinateChannel3D", {"data_format": "channels_first"}, (2, 3, 4, 5)),
    (
        "CoordConv1D",
        {"filters": 1, "kernel_size": (3,), "padding": "causal"},
        (6, 2),
    ),
    (
        "CoordConv2D",
        {
            "filters": 4,
            "kernel_size": (3, 2),
            "strides": (2, 1),
            "padding": "same",
            "groups": 2,
            "activation": "relu",
        },
        (7, 6, 4),
    ),
    # Fewer filters than channels: the coordinates are not appended.
    (
        "CoordConv2D",
        {"filters": 3, "kernel_size": (3, 3), "strides": (2, 2)},
        (6, 7, 17),
    ),
    ("CoordConv1D", {"filters": 2, "kernel_size": (2,)}, (6, 16)),
    # More filters than channels: the coordinates are appended.
    ("CoordConv2D", {"filters": 32, "kernel_size": (1, 1)}, (3, 4, 16)),
    (
        "CoordConv2D",
        {
            "filters": 3,
            "kernel_size": (3, 3),
            "use_radius": True,
            "radius_center": (0.5, -2.0),
            "dtype": "bfloat16",
        },
        (5, 6, 2),
    ),
    # One row, and a map as large as those that have a form of their own.
    ("CoordConv2D", {"filters": 2, "kernel_size": (1, 3)}, (1, 6, 2)),
    ("CoordConv2D", {"filters": 2, "kernel_size": (3, 3)}, (64, 65, 1)),
    ("CoordConv3D", {"filters": 3, "kernel_size": (2, 2, 2)}, (3, 4, 5, 2)),
    (
        "CoordConv2DTranspose",
        {"filters": 3, "kernel_size": (3, 3), "strides": (2, 2)},
        (5, 6, 2),
    ),
    (
        "CoordDepthwiseConv2D",
        {"kernel_size": (3, 3), "depth_multiplier": 2, "use_radius": True},
        (5, 6, 2),
    ),
    ("CoordDepthwiseConv1D", {"kernel_size": (2,)}, (5, 3)),
    (
        "CoordSeparableConv2D",
        {"filters": 3, "kernel_size": (3, 3), "padding": "same"},
        (5, 6, 2),
    ),
]
every_layer = pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    LAYERS,
    ids=[f"{name}-{index}" for index, (name, _, _) in enumerate(LAYERS)],
)


def random_values(shape, seed, dtype="float32"):
    """Normal random numbers that the dtype represents exactly."""
    values = np.random.default_rng(seed).normal(size=shape)
    exact = keras.ops.cast(values.astype("float32"), dtype)
    return keras.ops.convert_to_numpy(keras.ops.cast(exact, "float32"))


def random_ranges(rank, batch=3, seed=0):
    quarters = np.random.default_rng(seed).choice(33, (batch, rank, 2))
    quarters[..., 1] += quarters[..., 0] == quarters[..., 1]
    return (quarters - 16).astype("float32") / 4


def build(name, arguments, shape, unknown_sizes=False):
    """A layer with random weights, and a model with its ranges as an input."""
    setting = Setting(name, arguments, shape)
    dtype = arguments.get("dtype", "float32")
    layer = getattr(keras_coordconv, name)(**arguments)
    if unknown_sizes:
        channel_axis = 0 if setting.channels_first else -1
        shape = [None] * len(shape)
        shape[channel_axis] = setting.channels
    images = keras.Input(shape, name="images")
    ranges = keras.Input((setting.rank, 2), name="ranges")
    model = keras.Model([images, ranges], layer([images, ranges]))
    layer.set_weights(
        [
            random_values(weight.shape, seed, dtype)
            for seed, weight in enumerate(layer.weights)
        ]
    )
    return layer, model


def check(results, expected):
    results = keras.ops.convert_to_numpy(keras.ops.cast(results, "float32"))
    assert (abs(results - expected.value) <= expected.bound).all()


@every_layer
@pytest.mark.parametrize("unknown_sizes", [False, True])
def test_each_example_has_its_own_coordinates(
    name, arguments, shape, unknown_sizes
):
    layer, model = build(name, arguments, shape, unknown_sizes)
    images = random_values((3, *shape), 7, arguments.get("dtype", "float32"))
    ranges = random_ranges(layer.rank)
    expected = NumpyLayer(name, arguments, shape).outputs(
        images, layer.get_weights(), ranges
    )
    check(model.predict([images, ranges], verbose=0), expected)
    check(layer([images, ranges]), expected)
    shapes = [images.shape, ranges.shape]
    assert model.compute_output_shape(shapes) == expected.value.shape


@every_layer
def test_equal_ranges_are_the_coordinate_range(name, arguments, shape):
    layer, model = build(name, arguments, shape)
    plain = type(layer).from_config(layer.get_config())
    plain.build((None, *shape))
    plain.set_weights(layer.get_weights())
    images = random_values((2, *shape), 7)
    ranges = np.broadcast_to([-1.0, 1.0], (2, layer.rank, 2))
    tolerance = 0.05 if "dtype" in arguments else 2e-5
    np.testing.assert_allclose(
        *(
            keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
            for outputs in (model([images, ranges]), plain(images))
        ),
        rtol=tolerance,
        atol=tolerance,
    )


@pytest.mark.parametrize(
    "count", [40, pytest.param(1000, marks=pytest.mark.slow)]
)
def test_the_crop_of_the_outputs_is_the_output_of_the_crop(count):
    """Coordinates of the whole, with "valid" padding, at random settings."""
    draw = random.Random(0)
    for _ in range(count):
        name = draw.choice(keras_coordconv.layers.__all__)
        rank = Setting(name, {}, ()).rank
        transposed = "Transpose" in name
        arguments, extent, stride = {}, np.ones(rank, int), 1
        if "Conv" in name:
            step = draw.choice([1, 2, 3])
            kernel_size = tuple(draw.choice([1, 2, 3]) for _ in range(rank))
            dilated = not transposed and draw.random() < 0.5
            arguments["kernel_size"] = kernel_size
            arguments["dilation_rate" if dilated else "strides"] = step
            extent = (np.array(kernel_size) - 1) * (step if dilated else 1) + 1
            stride = 1 if dilated else step
            if "Depthwise" not in name:
                arguments["filters"] = draw.choice([1, 3])
        sizes = [draw.randint(9, 12) for _ in range(rank)]
        image = random_values((*sizes, 2), 3)
        inside, ranges, of_crop, of_whole = [], [], [], []
        for size, length in zip(sizes, extent, strict=True):
            if transposed:
                begin = draw.randint(0, size - 3)
                end = draw.randint(begin + 3, size)
                # Outputs that see no position outside of the crop.
                first = max(length - stride, 0) if begin else 0
                last = stride * (end - begin)
                shift = stride * begin
            else:
                # The crop begins where an output does, and has at least one.
                first, shift = 0, draw.randint(0, (size - length) // stride)
                begin = stride * shift
                end = draw.randint(begin + length, size)
                last = (end - begin - length) // stride + 1
            inside.append(slice(begin, end))
            ranges.append([begin, end - 1])
            of_crop.append(slice(first, last))
            of_whole.append(slice(first + shift, last + shift))
        crop = image[tuple(inside)]
        layer, model = build(name, arguments, crop.shape)
        whole = NumpyLayer(
            name, {**arguments, "coordinate_range": "pixel"}, image.shape
        ).outputs(image[None], layer.get_weights())
        result = model([crop[None], np.array([ranges], "float32")])
        result = keras.ops.convert_to_numpy(result)[0][tuple(of_crop)]
        errors = abs(result - whole.value[0][tuple(of_whole)])
        bound = whole.bound[0][tuple(of_whole)]
        assert errors.size and (errors <= bound).all(), (
            name,
            arguments,
            inside,
        )


def test_saved_and_loaded(tmp_path):
    _, model = build(*LAYERS[4])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [random_values((2, 7, 6, 4), 0), random_ranges(2, batch=2)]
    np.testing.assert_allclose(
        loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    clone = keras.models.clone_model(model)
    assert clone.output_shape == model.output_shape


@pytest.mark.tensorflow_backend
def test_ranges_are_a_named_input_of_the_export(tmp_path):
    import tensorflow as tf

    _, model = build(*LAYERS[4])
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    inputs = [random_values((2, 7, 6, 4), 0), random_ranges(2, batch=2)]
    signature = served.signatures["serving_default"]
    assert set(signature.structured_input_signature[1]) == {"images", "ranges"}
    (outputs,) = signature(
        images=tf.constant(inputs[0]), ranges=tf.constant(inputs[1])
    ).values()
    np.testing.assert_allclose(
        outputs, model.predict(inputs, verbose=0), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (np.zeros((2, 3, 2)), "Received: ranges of shape (2, 3, 2)"),
        (np.zeros((2, 2)), "Received: ranges of shape (2, 2)"),
        (np.ones((3, 2, 2)), "for a batch of 2 with 2 spatial axes"),
        (np.full((2, 2, 2), np.nan), "Received: ranges=[[[nan, nan]"),
        (np.full((2, 2, 2), 1.0), "with different coordinates at the two ends"),
    ],
)
def test_bad_ranges(ranges, message):
    layer = keras_coordconv.CoordConv2D(3, 1)
    with pytest.raises(ValueError) as error:
        layer([np.zeros((2, 4, 4, 1)), ranges.astype("float32")])
    assert message in str(error.value)


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_inputs(count):
    layer = keras_coordconv.CoordinateChannel1D()
    with pytest.raises(ValueError, match=f"Received: {count} tensors"):
        layer([np.zeros((2, 3, 1))] * count)


def test_ranges_that_are_bad_in_a_graph():
    """There are no values to look at: each example has what it asked for."""
    _, model = build("CoordConv1D", {"filters": 2, "kernel_size": (2,)}, (4, 1))
    images = np.zeros((3, 4, 1), "float32")
    ranges = np.array([[[0, 1]], [[np.nan, 1]], [[2, 2]]], "float32")
    outputs = model.predict([images, ranges], verbose=0)
    assert np.isfinite(outputs[[0, 2]]).all()
    assert np.isnan(outputs[1]).all()
    # The same coordinate everywhere.
    np.testing.assert_allclose(outputs[2], outputs[2, :1].repeat(3, axis=0))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_ranges_are_not_rounded_to_half_precision(policy, compiled):
    """Steps of one metre, 20 kilometres from the origin."""
    keras.config.set_dtype_policy(policy)
    steps, ranges = keras.Input((4, 1)), keras.Input((1, 2))
    difference = keras_coordconv.CoordConv1D(1, 2)
    model = keras.Model([steps, ranges], difference([steps, ranges]))
    kernel = np.array([[[0], [-1]], [[0], [1]]])
    difference.set_weights([kernel, np.zeros(1)])
    run = model.predict_on_batch if compiled else model
    outputs = run(
        [np.zeros((2, 4, 1)), np.array([[[20001.0, 20004]], [[20010, 20001]]])]
    )
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    expected = [[1] * 3, [-3] * 3]
    np.testing.assert_allclose(outputs[..., 0], expected, rtol=0.01)


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_ranges(training):
    """Outputs are linear in the ranges: differences are the gradients."""
    import tensorflow as tf

    layer = keras_coordconv.CoordConv2D(3, (2, 3), padding="same")
    images, ranges = random_values((2, 4, 5, 2), 0), random_ranges(2, batch=2)
    weights = random_values((2, 4, 5, 3), 1)

    @tf.function
    def score(ranges):
        outputs = layer([images, ranges], training=training)
        return tf.reduce_sum(outputs * weights)

    ranges = tf.constant(ranges, "float32")
    with tf.GradientTape() as tape:
        tape.watch(ranges)
        value = score(ranges)
    gradients = tape.gradient(value, ranges).numpy()
    for place in np.ndindex(2, 2, 2):
        moved = ranges.numpy()
        moved[place] += 1
        np.testing.assert_allclose(
            score(tf.constant(moved)) - value,
            gradients[place],
            rtol=1e-3,
            atol=1e-3,
        )


def test_an_axis_of_one_position_may_have_one_coordinate():
    layer = keras_coordconv.CoordinateChannel2D()
    outputs = layer([np.zeros((1, 1, 2, 1)), np.array([[[3.0, 3], [0, 4]]])])
    np.testing.assert_allclose(outputs[0, 0, :, 1:], [[3, 0], [3, 4]])


def test_folding_leaves_what_differs_by_example():
    images, ranges = keras.Input((6, 5, 2)), keras.Input((2, 2))
    x = keras_coordconv.CoordConv2D(3, 2, name="folded")(images)
    x = keras_coordconv.CoordConv2D(4, 2, name="kept")([x, ranges])
    model = keras.Model([images, ranges], x)
    folded = keras_coordconv.fold_coordinates(model)
    assert isinstance(folded.get_layer("folded"), keras.Sequential)
    kept = folded.get_layer("kept")
    assert isinstance(kept, keras_coordconv.CoordConv2D)
    inputs = [random_values((2, 6, 5, 2), 0), random_ranges(2, batch=2)]
    np.testing.assert_allclose(
        folded.predict(inputs, verbose=0),
        model.predict(inputs, verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )
