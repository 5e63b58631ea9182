"""CoordConv equals "append the coordinates, then convolve"."""

import inspect

import keras
import layer_settings
import numpy as np
import pytest
from keras import ops
from reference import append_coordinates

import keras_coordconv
from keras_coordconv.layers import frame_layer

RANKS = (1, 2, 3)
KERAS = {n: getattr(keras.layers, f"Conv{n}D") for n in RANKS}
OURS = {n: getattr(keras_coordconv, f"CoordConv{n}D") for n in RANKS}

# Keras's layer, shape of the input without batch, arguments.
CASES = [
    ("Conv1D", (7, 3), {"kernel_size": 1}),
    (
        "Conv1D",
        (7, 3),
        {"kernel_size": 3, "padding": "causal", "use_radius": True},
    ),
    (
        "Conv1D",
        (8, 4),
        {"kernel_size": 2, "padding": "causal", "dilation_rate": 3},
    ),
    ("Conv1D", (9, 4), {"kernel_size": 3, "padding": "causal", "strides": 2}),
    ("Conv1D", (9, 4), {"kernel_size": 4, "strides": 3, "groups": 2}),
    ("Conv1D", (1, 4), {"kernel_size": 3, "padding": "same"}),
    ("Conv2D", (6, 9, 3), {"kernel_size": 1, "use_radius": True}),
    ("Conv2D", (6, 9, 3), {"kernel_size": 3, "use_bias": False}),
    ("Conv2D", (6, 9, 1), {"kernel_size": (2, 5), "padding": "same"}),
    ("Conv2D", (6, 9, 3), {"kernel_size": 3, "padding": "same", "strides": 2}),
    (
        "Conv2D",
        (6, 9, 3),
        {"kernel_size": 3, "padding": "same", "strides": (1, 3)},
    ),
    (
        "Conv2D",
        (6, 9, 3),
        {"kernel_size": 2, "padding": "same", "dilation_rate": (2, 3)},
    ),
    ("Conv2D", (6, 9, 4), {"kernel_size": 3, "groups": 2, "use_radius": True}),
    ("Conv2D", (6, 9, 4), {"kernel_size": 3, "groups": 4, "padding": "same"}),
    (
        "Conv2D",
        (1, 9, 3),
        {"kernel_size": 3, "padding": "same", "use_radius": True},
    ),
    ("Conv2D", (1, 1, 3), {"kernel_size": 1, "use_radius": True}),
    ("Conv2D", (6, 9, 2), {"kernel_size": 1, "use_radius": True}),
    ("Conv2D", (6, 9, 2), {"kernel_size": 1, "use_bias": False}),
    ("Conv2D", (6, 9, 2), {"kernel_size": 1, "groups": 2}),
    ("Conv2D", (6, 9, 1), {"kernel_size": 1, "strides": 2}),
    ("Conv2D", (6, 9, 1), {"kernel_size": 1, "strides": (1, 2)}),
    ("Conv1D", (7, 2), {"kernel_size": 1, "activation": "relu"}),
    ("Conv3D", (5, 4, 6, 2), {"kernel_size": 1}),
    ("Conv2D", (6, 9, 3), {"kernel_size": 3, "coordinate_range": "pixel"}),
    ("Conv2D", (6, 9, 3), {"kernel_size": 3, "coordinate_range": (0, 0.5)}),
    (
        "Conv2D",
        (6, 9, 3),
        {"kernel_size": 3, "use_radius": True, "radius_center": 0.5},
    ),
    ("Conv2D", (6, 9, 3), {"kernel_size": 3, "activation": "tanh"}),
    ("Conv3D", (5, 4, 6, 2), {"kernel_size": 2, "use_radius": True}),
    (
        "Conv3D",
        (5, 4, 6, 2),
        {"kernel_size": 3, "padding": "same", "strides": (2, 1, 3)},
    ),
    (
        "Conv3D",
        (5, 4, 6, 2),
        {"kernel_size": 2, "groups": 2, "dilation_rate": 2},
    ),
    ("Conv3D", (5, 1, 6, 2), {"kernel_size": 1, "coordinate_range": "pixel"}),
    # Maps large enough to take the coordinates axis by axis.
    ("Conv2D", (64, 65, 1), {"kernel_size": 3, "padding": "same"}),
    (
        "Conv2D",
        (64, 66, 2),
        {
            "kernel_size": (4, 3),
            "padding": "same",
            "strides": (3, 2),
            "coordinate_range": ((3, -1), (0, 2)),
        },
    ),
    (
        "Conv2D",
        (1, 4100, 2),
        {"kernel_size": (1, 3), "padding": "same", "dilation_rate": (1, 2)},
    ),
    (
        "Conv3D",
        (16, 17, 18, 1),
        {"kernel_size": (2, 3, 2), "padding": "same", "strides": (1, 2, 3)},
    ),
    ("Conv3D", (16, 17, 16, 2), {"kernel_size": (1, 3, 2), "groups": 2}),
    ("Conv1DTranspose", (5, 3), {"kernel_size": 3, "strides": 2}),
    (
        "Conv1DTranspose",
        (5, 3),
        {"kernel_size": 2, "strides": 2, "padding": "same", "use_radius": True},
    ),
    ("Conv1DTranspose", (5, 3), {"kernel_size": 3, "dilation_rate": 2}),
    ("Conv2DTranspose", (4, 7, 3), {"kernel_size": 1, "use_bias": False}),
    (
        "Conv2DTranspose",
        (4, 7, 3),
        {"kernel_size": (2, 3), "strides": (2, 3), "padding": "same"},
    ),
    (
        "Conv2DTranspose",
        (4, 7, 3),
        {"kernel_size": 3, "strides": 2, "output_padding": 1},
    ),
    ("Conv2DTranspose", (1, 7, 3), {"kernel_size": 4, "use_radius": True}),
    (
        "Conv3DTranspose",
        (3, 2, 4, 2),
        {"kernel_size": 2, "strides": 2, "coordinate_range": "pixel"},
    ),
    ("DepthwiseConv1D", (7, 3), {"kernel_size": 3, "padding": "same"}),
    (
        "DepthwiseConv1D",
        (7, 3),
        {"kernel_size": 2, "strides": 2, "depth_multiplier": 2},
    ),
    ("DepthwiseConv2D", (6, 9, 3), {"kernel_size": 3, "use_radius": True}),
    (
        "DepthwiseConv2D",
        (6, 9, 3),
        {"kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False},
    ),
    (
        "DepthwiseConv2D",
        (6, 9, 3),
        {"kernel_size": 2, "depth_multiplier": 3, "activation": "tanh"},
    ),
    ("DepthwiseConv2D", (6, 9, 1), {"kernel_size": 2, "dilation_rate": 2}),
    ("SeparableConv1D", (7, 3), {"kernel_size": 3, "padding": "same"}),
    (
        "SeparableConv1D",
        (7, 3),
        {"kernel_size": 3, "strides": 2, "depth_multiplier": 2},
    ),
    ("SeparableConv2D", (6, 9, 3), {"kernel_size": 3, "use_radius": True}),
    (
        "SeparableConv2D",
        (6, 9, 3),
        {"kernel_size": 2, "strides": 2, "padding": "same"},
    ),
    (
        "SeparableConv2D",
        (6, 9, 3),
        {"kernel_size": 2, "depth_multiplier": 2, "activation": "tanh"},
    ),
]
FILTERS = 4


class AddVariable(keras.layers.Layer):
    """Adds a variable to the input, so that the input has a gradient too."""

    def build(self, input_shape):
        self.offset = self.add_weight(shape=input_shape, initializer="zeros")

    def call(self, inputs):
        return inputs + self.offset


def split_arguments(arguments):
    arguments = dict(arguments)
    coordinates = {
        name: arguments.pop(name)
        for name in ("use_radius", "coordinate_range", "radius_center")
        if name in arguments
    }
    return coordinates, arguments


def keras_layer(kind, arguments):
    return make_layer(keras.layers, kind, arguments)


def our_layer(kind, arguments):
    return make_layer(keras_coordconv, f"Coord{kind}", arguments)


def make_layer(module, name, arguments):
    if "Depthwise" not in name:
        arguments = {"filters": FILTERS, **arguments}
    return getattr(module, name)(**arguments)


def random_weights(layer):
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer.get_weights()


def step_of_gradient_descent(inputs, layer):
    """New input offsets and weights after one step with learning rate 1.

    This takes the gradients through Keras's own training, on any backend.
    """
    model = keras.Sequential([AddVariable(), layer])
    model.build(inputs.shape)
    random_weights(layer)
    targets = np.zeros(model.compute_output_shape(inputs.shape), "float32")
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(inputs, targets)
    return model.get_weights()


def skip_what_keras_cannot_do(kind, arguments):
    if keras.backend.backend() != "tensorflow":
        return
    if "Transpose" in kind and arguments.get("dilation_rate", 1) != 1:
        pytest.skip("TensorFlow has no dilated transposed convolution on CPUs")


@pytest.mark.parametrize(("kind", "shape", "arguments"), CASES)
def test_values(kind, shape, arguments):
    skip_what_keras_cannot_do(kind, arguments)
    coordinates, plain = split_arguments(arguments)
    groups = arguments.get("groups", 1)
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    layer = our_layer(kind, arguments)
    layer.build(inputs.shape)
    weights = random_weights(layer)
    outputs = layer(inputs)
    reference = keras_layer(kind, plain)
    widened = append_coordinates(inputs, groups=groups, **coordinates)
    reference.build(widened.shape)
    reference.set_weights(weights)
    assert tuple(outputs.shape) == tuple(
        layer.compute_output_shape(inputs.shape)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(outputs),
        ops.convert_to_numpy(reference(widened)),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("kind", "shape", "arguments"),
    [case for case in CASES if case[2].get("groups", 1) == 1],
)
def test_gradients(kind, shape, arguments):
    skip_what_keras_cannot_do(kind, arguments)
    coordinates, plain = split_arguments(arguments)
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    ours = step_of_gradient_descent(inputs, our_layer(kind, arguments))
    theirs = step_of_gradient_descent(
        append_coordinates(inputs, **coordinates), keras_layer(kind, plain)
    )
    # The gradient of the appended channels belongs to no input.
    theirs[0] = theirs[0][..., : shape[-1]]
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "shape", "arguments"),
    [case for case in CASES if case[2].get("groups", 1) > 1],
)
def test_gradients_of_groups(kind, shape, arguments):
    # Each group is a convolution of its own that sees the coordinates.
    groups = arguments["groups"]
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    grouped = our_layer(kind, arguments)
    offset, kernel, bias = step_of_gradient_descent(inputs, grouped)
    start_kernel, start_bias = random_weights(grouped)
    for group in range(groups):
        channels = slice(
            group * shape[-1] // groups, (group + 1) * shape[-1] // groups
        )
        filters = slice(
            group * FILTERS // groups, (group + 1) * FILTERS // groups
        )
        alone = our_layer(
            kind, {**arguments, "groups": 1, "filters": FILTERS // groups}
        )
        model = keras.Sequential([AddVariable(), alone])
        model.build(inputs[..., channels].shape)
        alone.set_weights([start_kernel[..., filters], start_bias[filters]])
        targets = np.zeros(
            model.compute_output_shape(inputs[..., channels].shape), "float32"
        )
        # The mean is over fewer outputs than for all groups together.
        model.compile(
            keras.optimizers.SGD(1.0 / groups), "mse", jit_compile=False
        )
        model.train_on_batch(inputs[..., channels], targets)
        expected = model.get_weights()
        for own, other in zip(
            (offset[..., channels], kernel[..., filters], bias[filters]),
            expected,
            strict=True,
        ):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("float32", 1e-5), ("float16", 4e-3), ("bfloat16", 3e-2)],
)
@pytest.mark.parametrize("input_dtype", ["float32", "uint8", "int32"])
@pytest.mark.parametrize("use_radius", [True, False])
def test_dtypes(dtype, tolerance, input_dtype, use_radius):
    inputs = np.random.default_rng(0).integers(0, 4, (2, 5, 7, 3))
    layer = keras_coordconv.CoordConv2D(
        4, 3, use_radius=use_radius, dtype=dtype
    )
    outputs = layer(ops.convert_to_tensor(inputs.astype(input_dtype)))
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    kernel = ops.convert_to_numpy(ops.cast(layer.kernel, "float32"))
    widened = append_coordinates(
        inputs.astype("float32"), use_radius=use_radius
    )
    reference = keras.layers.Conv2D(4, 3)
    reference.build(widened.shape)
    reference.set_weights([kernel, np.zeros(4)])
    expected = ops.convert_to_numpy(reference(widened))
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(outputs, "float32")),
        expected,
        atol=tolerance * np.abs(expected).max(),
    )


def test_swapped_axes_would_be_seen(monkeypatch):
    features = frame_layer.features_of_range
    monkeypatch.setattr(
        frame_layer,
        "features_of_range",
        lambda *args: ops.flip(features(*args), axis=-1),
    )
    with pytest.raises(AssertionError):
        test_values("Conv2D", (6, 9, 3), {"kernel_size": 1})


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("use_radius", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_number_of_weights(rank, use_radius, groups):
    # Section 3: (c + d) * c' * k^2 weights; each group has its own d.
    layer = OURS[rank](
        6, 3, groups=groups, use_radius=use_radius, use_bias=False
    )
    layer.build((None, *[8] * rank, 4))
    d = rank + use_radius
    assert layer.count_params() == (4 // groups + d) * 6 * 3**rank


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_coordinate_weights_it_is_the_convolution(rank):
    # Section 3: with zero weights on the coordinates, exactly a convolution,
    # which commutes with shifts.
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, *[9] * rank, 3)).astype("float32")
    layer = OURS[rank](4, 3, use_radius=True)
    layer.build(inputs.shape)
    kernel, bias = random_weights(layer)
    kernel[..., 3:, :] = 0
    layer.set_weights([kernel, bias])
    plain = KERAS[rank](4, 3)
    plain.build(inputs.shape)
    plain.set_weights([kernel[..., :3, :], bias])
    outputs = ops.convert_to_numpy(layer(inputs))
    np.testing.assert_array_equal(outputs, ops.convert_to_numpy(plain(inputs)))
    shifted = ops.convert_to_numpy(layer(np.roll(inputs, 2, axis=1)))
    np.testing.assert_allclose(
        shifted[:, 2:], outputs[:, :-2], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("kind", sorted({case[0] for case in CASES}))
def test_signature_is_that_of_keras_and_ours(kind):
    ours = inspect.signature(getattr(keras_coordconv, f"Coord{kind}"))
    theirs = inspect.signature(getattr(keras.layers, kind))
    assert list(ours.parameters) == [
        *list(theirs.parameters)[:-1],
        "use_radius",
        "coordinate_range",
        "align",
        "axes",
        "radius_center",
        "encoding",
        "kwargs",
    ]


def test_signature_of_a_subclass_with_its_own_arguments():
    class Named(keras_coordconv.CoordConv2D):
        def __init__(self, width, **kwargs):
            super().__init__(width, 3, **kwargs)

    assert list(inspect.signature(Named).parameters) == ["width", "kwargs"]


def test_convolution_op_can_be_overridden():
    # The hook that Keras documents for a kernel that is computed.
    class StandardizedConv(keras_coordconv.CoordConv2D):
        def convolution_op(self, inputs, kernel):
            kernel = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
            return super().convolution_op(inputs, kernel)

    inputs = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
    layer = StandardizedConv(4, 3)
    layer.build(inputs.shape)
    kernel, bias = random_weights(layer)
    plain = keras_coordconv.CoordConv2D(4, 3)
    plain.build(inputs.shape)
    plain.set_weights([kernel - kernel.mean(axis=(0, 1, 2)), bias])
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer(inputs)),
        ops.convert_to_numpy(plain(inputs)),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("name", layer_settings.LAYERS)
def test_bad_input(name):
    def make(**arguments):
        if "Conv" in name:
            arguments["kernel_size"] = 1
        if "Conv" in name and "Depthwise" not in name:
            arguments["filters"] = 2
        return getattr(keras_coordconv, name)(**arguments)

    good = (2, *[4] * make().rank, 3)
    for wrong in (good[1:], (*good, 1)):
        with pytest.raises(ValueError, match=r"incompatible|must have rank"):
            make()(np.zeros(wrong))
        with pytest.raises(ValueError, match="Received: input_shape="):
            make().build(wrong)
    with pytest.raises(ValueError, match=r"channel axis .*Received"):
        make().build((*good[:-1], None))
    with pytest.raises(ValueError, match=r"channel axis .*Received"):
        make()(keras.Input((*good[1:-1], None)))
    with pytest.raises(ValueError, match=r"Received: data_format="):
        make(data_format="channels_middle")
    with pytest.raises(ValueError, match=r"Received: coordinate_range="):
        make(coordinate_range=(1, 1))
    layer = make()
    layer(np.zeros(good))
    with pytest.raises(ValueError, match="incompatible"):
        layer(np.zeros((*good[:-1], 5)))


def test_channels_that_groups_do_not_divide():
    layer = keras_coordconv.CoordConv2D(4, 3, groups=2)
    with pytest.raises(ValueError, match=r"Received: groups=2 .*9, 3\)"):
        layer.build((None, 9, 9, 3))


def test_signature_of_an_instance_is_that_of_its_call():
    layer = keras_coordconv.CoordConv2D(2, 3)
    assert "filters" not in inspect.signature(layer).parameters
