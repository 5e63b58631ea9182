"""What every layer must do: every check on all of them."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase
from layer_table import every_layer

import keras_coordconv


def make(kind, arguments, **more):
    return getattr(keras_coordconv, kind)(**arguments, **more)


def random_input(shape, batch=2, dtype="float32"):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, *shape)).astype(dtype)


def to_numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def make_random(kind, arguments, shape, **more):
    """A built layer whose weights, bias included, are not zero."""
    layer = make(kind, arguments, **more)
    layer.build((None, *shape))
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def channels_first(shape):
    return (shape[-1], *shape[:-1])


@every_layer
def test_keras_layer_test(kind, arguments, shape):
    layer_class = getattr(keras_coordconv, kind)
    layer = make(kind, arguments)
    weights = 3 if "Separable" in kind else 2 if "Conv" in kind else 0
    TestCase().run_layer_test(
        layer_class,
        init_kwargs=arguments,
        input_shape=(2, *shape),
        expected_output_shape=layer.compute_output_shape((2, *shape)),
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_losses=0,
        supports_masking=False,
    )


@every_layer
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16"])
def test_keras_file_keeps_everything(tmp_path, kind, arguments, shape, policy):
    layer = make_random(kind, arguments, shape, name="mine", dtype=policy)
    model = keras.Sequential([keras.Input(shape), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    twin = loaded.get_layer("mine")
    assert type(twin) is type(layer)
    assert twin.dtype_policy.name == policy
    assert twin.get_config() == layer.get_config()
    np.testing.assert_array_equal(
        to_numpy(loaded(random_input(shape))),
        to_numpy(model(random_input(shape))),
    )


@every_layer
def test_config_is_complete_and_plain(kind, arguments, shape):
    import json

    layer = make(kind, arguments, name="mine", dtype="mixed_bfloat16")
    config = layer.get_config()
    for argument in ("use_radius", "coordinate_range", "data_format", "name"):
        assert argument in config
    # As read back from a file: tuples have become lists.
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(kind, arguments, shape, policy):
    exact = make_random(kind, arguments, shape)
    mixed = make_random(kind, arguments, shape, dtype=policy)
    outputs = mixed(random_input(shape))
    compute_dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == compute_dtype
    assert all(w.dtype == "float32" for w in mixed.weights)
    expected = to_numpy(exact(random_input(shape)))
    tolerance = 4e-3 if policy == "mixed_float16" else 3e-2
    np.testing.assert_allclose(
        to_numpy(outputs), expected, atol=tolerance * np.abs(expected).max()
    )


@every_layer
def test_channels_first(kind, arguments, shape):
    last = make_random(kind, arguments, shape)
    first = make_random(
        kind, arguments, channels_first(shape), data_format="channels_first"
    )
    inputs = random_input(shape)
    outputs = run_jitted(first, np.moveaxis(inputs, -1, 1))
    assert outputs.shape == tuple(
        first.compute_output_shape((2, *channels_first(shape)))
    )
    np.testing.assert_allclose(
        np.moveaxis(outputs, 1, -1),
        to_numpy(last(inputs)),
        rtol=1e-5,
        atol=1e-5,
    )


def run_jitted(layer, inputs):
    """Output under XLA, where TensorFlow has channels_first on a CPU too."""
    if keras.backend.backend() != "tensorflow":
        return to_numpy(layer(inputs))
    import tensorflow as tf

    return to_numpy(tf.function(layer, jit_compile=True)(inputs))


@every_layer
def test_symbolic_shapes(kind, arguments, shape):
    layer = make(kind, arguments)
    unknown = keras.Input((*[None] * (len(shape) - 1), shape[-1]))
    model = keras.Model(unknown, layer(unknown))
    for size in (shape, (*(2 * size + 1 for size in shape[:-1]), shape[-1])):
        outputs = to_numpy(model(random_input(size, batch=2)))
        assert outputs.shape == tuple(layer.compute_output_shape((2, *size)))
        symbolic = layer(keras.Input(size)).shape
        assert symbolic == (None, *outputs.shape[1:])
        pairs = zip(model.output_shape, outputs.shape, strict=True)
        assert all(own in (None, real) for own, real in pairs)
    assert model.output_shape[-1] == outputs.shape[-1]


@every_layer
def test_batch_size_does_not_matter(kind, arguments, shape):
    layer = make_random(kind, arguments, shape)
    inputs = random_input(shape, batch=5)
    together = to_numpy(layer(inputs))
    for index in range(5):
        np.testing.assert_allclose(
            to_numpy(layer(inputs[index : index + 1]))[0],
            together[index],
            rtol=1e-5,
            atol=1e-5,
        )


@every_layer
@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("jit_compile", [False, True])
def test_tf_function_with_unknown_sizes(kind, arguments, shape, jit_compile):
    import tensorflow as tf

    layer = make_random(kind, arguments, shape)
    signature = tf.TensorSpec([None] * len(shape) + [shape[-1]], tf.float32)
    function = tf.function(
        layer, input_signature=[signature], jit_compile=jit_compile
    )
    for extra in (0, 1, 3):
        grown = (*(size + extra for size in shape[:-1]), shape[-1])
        inputs = random_input(grown, batch=1 + extra)
        np.testing.assert_allclose(
            to_numpy(function(inputs)),
            to_numpy(layer(inputs)),
            rtol=1e-5,
            atol=1e-5,
        )


@every_layer
@pytest.mark.parametrize("frames", [None, 0, 1])
def test_empty_batch(kind, arguments, shape, frames):
    """TensorFlow with oneDNN returns it in the shape of the input."""
    layer = make_random(kind, arguments, shape)
    frame = {}
    if frames is not None:
        rank = len(shape) - 1
        frame["affine"] = np.ones((frames, rank, rank + 1), "float32")
    expected = tuple(layer.compute_output_shape((0, *shape)))
    assert tuple(layer(random_input(shape, 0), **frame).shape) == expected
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(layer)
        assert function(random_input(shape, 0), **frame).shape == expected


@every_layer
def test_integer_dtypes_have_no_room_for_coordinates(kind, arguments, shape):
    with pytest.raises(ValueError, match=r"dtype\. Received: dtype='int32'"):
        make(kind, arguments, dtype="int32")


@every_layer
@pytest.mark.tensorflow_backend
@pytest.mark.parametrize("jit_compile", [False, True])
def test_saved_model(tmp_path, kind, arguments, shape, jit_compile):
    import tensorflow as tf

    layer = make_random(kind, arguments, shape)
    unknown = (*[None] * (len(shape) - 1), shape[-1])
    model = keras.Sequential([keras.Input(unknown), layer])
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    function = tf.function(loaded.serve, jit_compile=jit_compile)
    for extra in (0, 2):
        grown = (*(size + extra for size in shape[:-1]), shape[-1])
        inputs = random_input(grown, batch=1 + extra)
        np.testing.assert_allclose(
            to_numpy(function(inputs)),
            to_numpy(model(inputs)),
            rtol=1e-5,
            atol=1e-5,
        )


@every_layer
def test_masking_is_that_of_keras(kind, arguments, shape):
    # Keras's convolutions do not take a mask in and let none through.
    layer = make(kind, arguments)
    assert layer.supports_masking is keras.layers.Conv2D(1, 1).supports_masking
    if len(shape) == 2:
        masked = keras.layers.Masking()(random_input(shape))
        assert keras.src.backend.get_keras_mask(layer(masked)) is None


@every_layer
@pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="needs Keras on the PyTorch backend",
)
def test_torch_export(kind, arguments, shape):
    import torch

    layer = make_random(kind, arguments, shape)
    model = keras.Sequential([keras.Input(shape), layer])
    inputs = torch.from_numpy(random_input(shape, batch=3))
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(
        model, (inputs,), dynamic_shapes=(({0: batch},),)
    )
    for size in (3, 7):
        inputs = torch.from_numpy(random_input(shape, batch=size))
        np.testing.assert_allclose(
            exported.module()(inputs).detach(),
            model(inputs).detach(),
            rtol=1e-5,
            atol=1e-5,
        )
