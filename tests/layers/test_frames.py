"""Layers whose coordinates come with each example."""

import random

import keras
import layer_settings
import numpy as np
import pytest
from layer_settings import Setting
from layer_table import every_layer
from numpy_layers import NumpyLayer

import keras_coordconv
from keras_coordconv import coordinate_grid
from keras_coordconv.frames import affine_from_range
from keras_coordconv.frames import crop_affine

GROUPED = (
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
)


def random_values(shape, seed, dtype="float32"):
    """Normal random numbers that the dtype represents exactly."""
    values = np.random.default_rng(seed).normal(size=shape)
    exact = keras.ops.cast(values.astype("float32"), dtype)
    return keras.ops.convert_to_numpy(keras.ops.cast(exact, "float32"))


def random_affine(rank, batch=3, count=None):
    shape = (batch, count or rank, rank + 1)
    return random_values(shape, 11)


def build(name, arguments, shape, unknown_sizes=False, count=None):
    """A layer with random weights, and a model with its frame as an input."""
    setting = Setting(name, arguments, shape)
    dtype = arguments.get("dtype", "float32")
    layer = getattr(keras_coordconv, name)(**arguments)
    if unknown_sizes:
        channel_axis = 0 if setting.channels_first else -1
        shape = [None] * len(shape)
        shape[channel_axis] = setting.channels
    images = keras.Input(shape, name="images")
    affine = keras.Input(
        (count or setting.rank, setting.rank + 1), name="affine"
    )
    model = keras.Model([images, affine], layer(images, affine=affine))
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
    kind, arguments, shape, unknown_sizes
):
    layer, model = build(kind, arguments, shape, unknown_sizes)
    images = random_values((3, *shape), 7)
    affine = random_affine(layer.rank)
    expected = NumpyLayer(kind, arguments, shape).outputs(
        images, layer.get_weights(), affine
    )
    check(model.predict([images, affine], verbose=0), expected)
    check(layer(images, affine=affine), expected)
    shapes = [images.shape, affine.shape]
    assert model.compute_output_shape(shapes) == expected.value.shape


@every_layer
def test_the_frame_of_the_range_gives_the_same(kind, arguments, shape):
    """As an affine, and as the coordinates themselves."""
    layer, _ = build(kind, arguments, shape)
    images = random_values((2, *shape), 7)
    sizes = shape[:-1]
    affine = affine_from_range(sizes, layer.coordinate_range)
    results = [
        keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
        for outputs in (
            layer(images),
            layer(images, affine=affine),
            layer(images, coordinates=coordinate_grid(sizes, affine=affine))
            if not layer.use_radius or layer.radius_center is not None
            else layer(images),
        )
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "count", [40, pytest.param(1000, marks=pytest.mark.long)]
)
def test_the_crop_of_the_outputs_is_the_output_of_the_crop(count):
    """Coordinates of the whole, with "valid" padding, at random settings."""
    draw = random.Random(0)
    for _ in range(count):
        name = draw.choice(layer_settings.LAYERS)
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
        inside, begins, of_crop, of_whole = [], [], [], []
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
            begins.append(begin)
            of_crop.append(slice(first, last))
            of_whole.append(slice(first + shift, last + shift))
        crop = image[tuple(inside)]
        layer, model = build(name, arguments, crop.shape)
        whole = NumpyLayer(
            name, {**arguments, "coordinate_range": "pixel"}, image.shape
        ).outputs(image[None], layer.get_weights())
        affine = crop_affine(np.eye(rank, rank + 1)[None], begins)
        result = model([crop[None], keras.ops.convert_to_numpy(affine)])
        result = keras.ops.convert_to_numpy(result)[0][tuple(of_crop)]
        errors = abs(result - whole.value[0][tuple(of_whole)])
        bound = whole.bound[0][tuple(of_whole)]
        assert errors.size and (errors <= bound).all(), (
            name,
            arguments,
            inside,
        )


def test_saved_and_loaded(tmp_path):
    _, model = build(*GROUPED)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [random_values((2, 7, 6, 4), 0), random_affine(2, batch=2)]
    np.testing.assert_allclose(
        loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    clone = keras.models.clone_model(model)
    assert clone.output_shape == model.output_shape


@pytest.mark.tensorflow_backend
def test_the_frame_is_a_named_input_of_the_export(tmp_path):
    import tensorflow as tf

    _, model = build(*GROUPED)
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    inputs = [random_values((2, 7, 6, 4), 0), random_affine(2, batch=2)]
    signature = served.signatures["serving_default"]
    assert set(signature.structured_input_signature[1]) == {"images", "affine"}
    (outputs,) = signature(
        images=tf.constant(inputs[0]), affine=tf.constant(inputs[1])
    ).values()
    np.testing.assert_allclose(
        outputs, model.predict(inputs, verbose=0), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"affine": np.zeros((2, 2, 2))}, "Received: shape (2, 2, 2)"),
        ({"affine": np.zeros((2, 3))}, "affine of shape (2, 3)"),
        ({"affine": np.zeros((3, 2, 3))}, "for a batch of 2"),
        ({"affine": np.full((2, 2, 3), np.nan)}, "affine=[[[nan, nan, nan]"),
        ({"affine": np.full((2, 2, 3), np.inf)}, "must be finite"),
        ({"affine": np.ones((2, 2, 3), "bool")}, "Received: dtype bool"),
        ({"affine": np.ones((2, 2, 3), "complex64")}, "dtype complex64"),
        ({"affine": "north"}, "affine of shape ()"),
        ({"coordinates": np.zeros((2, 4, 5, 2))}, "shape (2, 4, 5, 2)"),
        ({"coordinates": np.zeros((3, 4, 4, 2))}, "for a batch of 2"),
        ({"coordinates": np.zeros((4, 4, 2))}, "Received: shape (4, 4, 2)"),
        ({"coordinates": np.full((2, 4, 4, 2), np.nan)}, "must be finite"),
        (
            {
                "affine": np.zeros((2, 2, 3)),
                "coordinates": np.zeros((2, 4, 4, 2)),
            },
            "Received: both",
        ),
    ],
)
@pytest.mark.parametrize("name", ["CoordConv2D", "CoordinateChannel2D"])
def test_bad_frames(name, frame, message):
    arguments = {} if "Channel" in name else {"filters": 3, "kernel_size": 1}
    layer = getattr(keras_coordconv, name)(**arguments)
    with pytest.raises(ValueError) as error:
        layer(np.zeros((2, 4, 4, 1)), **frame)
    assert message in str(error.value)


def test_another_number_of_coordinates():
    layer = keras_coordconv.CoordConv2D(3, 1, name="conv")
    layer(np.zeros((2, 4, 4, 1)), affine=np.zeros((1, 3, 3)))
    assert layer.kernel.shape == (1, 1, 4, 3)
    with pytest.raises(ValueError, match="conv was built for 3 coordinates"):
        layer(np.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match="Received: 2 coordinates"):
        layer(np.zeros((2, 4, 4, 1)), coordinates=np.zeros((1, 4, 4, 2)))


def test_arguments_that_do_not_go_together():
    layer = keras_coordconv.CoordConv2D(3, 1, axes=(0,))
    with pytest.raises(ValueError, match=r"`affine` in a call .*axes=\(0,\)"):
        layer(np.zeros((2, 4, 4, 1)), affine=np.zeros((1, 1, 3)))
    layer = keras_coordconv.CoordConv2D(3, 1, use_radius=True)
    with pytest.raises(ValueError, match="needs a `radius_center`"):
        layer(np.zeros((2, 4, 4, 1)), coordinates=np.zeros((1, 4, 4, 2)))
    layer = keras_coordconv.CoordConv2D(3, 1, radius_center=(0, 1, 2))
    with pytest.raises(
        ValueError, match=r"2 finite numbers.*radius_center=\(0.0, 1"
    ):
        layer(np.zeros((2, 4, 4, 1)))


@pytest.mark.parametrize(
    ("encoding", "received"),
    [
        (lambda x: x[..., 0], r"shape \(2, 3\) for coordinates of"),
        (lambda x: x[0], r"shape \(3, 2\)"),
        (lambda x: x[..., :0], r"shape \(2, 3, 0\)"),
        (3, "encoding=3"),
    ],
)
def test_bad_encodings(encoding, received):
    with pytest.raises(ValueError, match=f"`encoding` must .*{received}"):
        keras_coordconv.CoordConv2D(3, 1, encoding=encoding)(
            np.zeros((2, 4, 4, 1))
        )


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch has no graph"
)
def test_frames_that_are_not_finite_in_a_graph():
    """There are no values to look at: outputs are not finite either."""
    _, model = build("CoordConv1D", {"filters": 2, "kernel_size": (2,)}, (4, 1))
    images = np.zeros((2, 4, 1), "float32")
    affine = np.array([[[0, 1]], [[np.nan, 1]]], "float32")
    outputs = model.predict([images, affine], verbose=0)
    assert np.isfinite(outputs[0]).all()
    assert np.isnan(outputs[1]).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_coordinates_are_not_rounded_to_half_precision(policy, compiled):
    """Steps of one meter, 20 kilometers from the origin."""
    keras.config.set_dtype_policy(policy)
    steps, affine = keras.Input((4, 1)), keras.Input((1, 2))
    difference = keras_coordconv.CoordConv1D(1, 2)
    model = keras.Model([steps, affine], difference(steps, affine=affine))
    kernel = np.array([[[0], [-1]], [[0], [1]]])
    difference.set_weights([kernel, np.zeros(1)])
    run = model.predict_on_batch if compiled else model
    outputs = run(
        [np.zeros((2, 4, 1)), np.array([[[1.0, 20001]], [[-3, 20010]]])]
    )
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    expected = [[1] * 3, [-3] * 3]
    np.testing.assert_allclose(outputs[..., 0], expected, rtol=0.01)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("CoordConv2D", {"kernel_size": 2}),
        ("CoordConv2D", {"kernel_size": 1, "filters": 32}),
        ("CoordConv2D", {"kernel_size": 2, "use_radius": True}),
        ("CoordConv2DTranspose", {"kernel_size": 2}),
        ("CoordSeparableConv2D", {"kernel_size": 2}),
        ("CoordDepthwiseConv2D", {"kernel_size": 2}),
    ],
)
def test_pixel_coordinates_of_a_large_map(policy, name, arguments):
    """The bias takes most of a coordinate away, before it is rounded."""
    keras.config.set_dtype_policy(policy)
    if "Depthwise" not in name:
        arguments = {"filters": 1, **arguments}
    layer = getattr(keras_coordconv, name)(
        coordinate_range="pixel", padding="same", **arguments
    )
    channels = 16 if arguments.get("filters") == 32 else 1
    images = np.zeros((1, 4096, 2, channels), "float32")
    layer.build(images.shape)
    weights = [np.zeros(weight.shape) for weight in layer.weights]
    first = (0,) * layer.rank
    if name == "CoordConv2DTranspose":
        weights[0][(*first, 0, channels)] = 1
    elif name == "CoordDepthwiseConv2D":
        weights[0][(*first, channels, 0)] = 1
    else:
        weights[0][(*first, channels, 0)] = 1
    if name == "CoordSeparableConv2D":
        weights[1][0, 0, channels, 0] = 1
    output = 1 if name == "CoordDepthwiseConv2D" else 0
    weights[-1][output] = -4000
    layer.set_weights(weights)
    outputs = layer(images)
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    rows = np.arange(3990, 4010)
    found = outputs[0, rows, 0, output]
    if name == "CoordDepthwiseConv2D":
        # The filtered coordinates are channels: each is rounded before its
        # bias is added, as any output is.
        assert abs(found - (rows - 4000)).max() <= 16
    else:
        np.testing.assert_array_equal(found, rows - 4000)


@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_the_frame(training):
    """Outputs are linear in it: differences are the gradients."""
    import tensorflow as tf

    layer = keras_coordconv.CoordConv2D(3, (2, 3), padding="same")
    images, affine = random_values((2, 4, 5, 2), 0), random_affine(2, batch=2)
    weights = random_values((2, 4, 5, 3), 1)

    @tf.function
    def score(affine):
        outputs = layer(images, affine=affine, training=training)
        return tf.reduce_sum(outputs * weights)

    affine = tf.constant(affine, "float32")
    with tf.GradientTape() as tape:
        tape.watch(affine)
        value = score(affine)
    gradients = tape.gradient(value, affine).numpy()
    for place in np.ndindex(2, 2, 3):
        moved = affine.numpy()
        moved[place] += 1
        np.testing.assert_allclose(
            score(tf.constant(moved)) - value,
            gradients[place],
            rtol=1e-3,
            atol=1e-3,
        )


def test_folding_leaves_what_differs_by_example():
    images, affine = keras.Input((6, 5, 2)), keras.Input((2, 3))
    x = keras_coordconv.CoordConv2D(3, 2, name="folded")(images)
    x = keras_coordconv.CoordConv2D(4, 2, name="kept")(x, affine=affine)
    model = keras.Model([images, affine], x)
    folded = keras_coordconv.fold_coordinates(model)
    assert isinstance(folded.get_layer("folded"), keras.Sequential)
    kept = folded.get_layer("kept")
    assert isinstance(kept, keras_coordconv.CoordConv2D)
    inputs = [random_values((2, 6, 5, 2), 0), random_affine(2, batch=2)]
    np.testing.assert_allclose(
        folded.predict(inputs, verbose=0),
        model.predict(inputs, verbose=0),
        rtol=1e-5,
        atol=1e-5,
    )
