"""What a CoordConv has of Keras's layers: weights, arguments, hooks, errors.

Its numbers are in test_properties.py.
"""

import inspect

import keras
import layer_settings
import numpy as np
import pytest
from keras import ops

import keras_coordconv

RANKS = (1, 2, 3)
KINDS = [
    name.removeprefix("Coord")
    for name in layer_settings.LAYERS
    if "Conv" in name
]
KERAS = {n: getattr(keras.layers, f"Conv{n}D") for n in RANKS}
OURS = {n: getattr(keras_coordconv, f"CoordConv{n}D") for n in RANKS}


def random_weights(layer):
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer.get_weights()


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


@pytest.mark.parametrize("kind", KINDS)
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
