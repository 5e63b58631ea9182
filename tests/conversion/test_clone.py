"""Converted and folded models have all that the layers of the old one hold."""

import functools
import pathlib

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import layers
from keras import ops
from reference import numpy_coordinates

import keras_coordconv
from keras_coordconv import convert_to_coordconv
from keras_coordconv import fold_coordinates
from keras_coordconv.conversion import clone

IMAGES = np.random.default_rng(0).normal(1, 3, (20, 6, 7, 2)).astype("float32")
WORDS = np.array([["a", "b", "c"], ["b", "z", "a"]])
NUMBERS = np.array([[1, 2, 3], [2, 9, 1]])


@keras.saving.register_keras_serializable("test_rebuilding")
class Table(layers.Layer):
    """Beside its weight, a table that its own methods save."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = np.zeros(2)

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, inputs):
        return inputs * self.scale + ops.cast(self.table, "float32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["table"] = self.table

    def load_own_variables(self, store):
        self.scale.assign(store["0"])
        self.table = store["table"]


@keras.saving.register_keras_serializable("test_rebuilding")
class TextFile(layers.Layer):
    """What it multiplies by is in a file of its own."""

    factor = "0"

    def call(self, inputs):
        return inputs * float(self.factor)

    def save_assets(self, folder):
        (pathlib.Path(folder) / "factor").write_text(self.factor)

    def load_assets(self, folder):
        self.factor = (pathlib.Path(folder) / "factor").read_text()


class Unregistered(layers.Layer):
    """Layers inside, which are built when it is called."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units, activation=double)
        self.normalization = layers.BatchNormalization()

    def call(self, inputs):
        return self.normalization(self.dense(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class SumOfGiven(layers.Layer):
    def call(self, inputs, other=None):
        return inputs if other is None else inputs + other


class OwnCall(keras.Model):
    """A graph of layers is not all there is to it."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs) + 1


def double(x):
    return 2 * x


def relu(x):
    """Has the name of an activation of Keras."""
    return 3 * ops.relu(x)


def adapted(layer, data=IMAGES):
    layer.adapt(data)
    return layer


def with_attribute(layer, **attributes):
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


def images_through(*before, shape=IMAGES.shape[1:]):
    """Some layers, and a convolution after them."""
    return keras.Sequential(
        [keras.Input(shape), *before, layers.Conv2D(2, 3, name="convolution")]
    )


def beside_images(layer, values):
    """A model that has a layer for other inputs, `values`, beside images."""
    dtype = "string" if values.dtype.kind == "U" else values.dtype
    given = keras.Input(values.shape[1:], dtype=dtype)
    images = keras.Input(IMAGES.shape[1:])
    features = layers.Flatten()(layers.Conv2D(2, 3)(images))
    encoded = layers.Flatten()(ops.cast(layer(given), "float32"))
    return keras.Model(
        [given, images], layers.Concatenate()([encoded, features])
    )


def normalized_inside():
    """A Normalization in a model inside, a wrapped convolution beside it."""
    inner = keras.Sequential([adapted(layers.Normalization())], name="inner")
    x = inner(videos := keras.Input((3, *IMAGES.shape[1:])))
    x = layers.TimeDistributed(layers.DepthwiseConv2D(3))(x)
    return keras.Model(videos, layers.Conv3D(2, 2)(x))


def quantized(mode, *inner):
    inner = inner or [layers.Dense(4)]
    model = images_through(*inner)
    for layer in inner:
        layer.quantize(mode)
    return model


def with_low_rank_update():
    model = images_through(layers.Dense(4))
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    return model


def optional_input():
    images = keras.Input((6, 7, 2))
    other = keras.Input((6, 7, 2), optional=True)
    x = SumOfGiven()(images, other)
    return keras.Model([images, other], layers.Conv2D(2, 3)(x))


def dictionaries():
    inputs = {name: keras.Input((6, 7, 2), name=name) for name in "ab"}
    x = layers.Conv2D(2, 3)(inputs["a"] + inputs["b"])
    return keras.Model(inputs, {"c": x, "d": [ops.relu(x)]})


def shared_by_two_sizes():
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="head")
    inputs = [keras.Input((6, 7, 2)), keras.Input((1, 7, 2))]
    return keras.Model(inputs, [shared(x) for x in inputs])


def model_with_call_inside():
    images = keras.Input(IMAGES.shape[1:])
    return images_through(OwnCall(images, layers.Dense(2)(images)))


QUANTIZED = ("int8", "int4", "float8")
MODELS = {
    # Tables and statistics.
    "Normalization": lambda: images_through(adapted(layers.Normalization())),
    "Normalization in a wrapper": lambda: images_through(
        layers.TimeDistributed(
            adapted(layers.Normalization(), IMAGES.reshape(-1, 7, 2))
        )
    ),
    "Normalization in a model": normalized_inside,
    "own table": lambda: images_through(
        with_attribute(Table(), table=np.array([3.0, 4.0]))
    ),
    "own table in a wrapper": lambda: images_through(
        layers.TimeDistributed(with_attribute(Table(), table=np.ones(2)))
    ),
    "own file": lambda: images_through(with_attribute(TextFile(), factor="3")),
    "SpectralNormalization": lambda: images_through(
        layers.SpectralNormalization(layers.Dense(2))
    ),
    **{mode: functools.partial(quantized, mode) for mode in QUANTIZED},
    "float8, two layers": lambda: quantized(
        "float8",
        layers.EinsumDense("aijb,bc->aijc", (6, 7, 4), bias_axes="c"),
        layers.Dense(3),
    ),
    "low rank": with_low_rank_update,
    # Functions and classes that are not registered.
    "Lambda of a lambda": lambda: images_through(
        layers.Lambda(lambda x: 2 * x)
    ),
    "Lambda of a function": lambda: images_through(layers.Lambda(double)),
    "function": lambda: images_through(layers.Dense(2, activation=double)),
    "lambda": lambda: images_through(
        layers.Dense(2, activation=lambda x: 2 * ops.tanh(x))
    ),
    "function in a wrapper": lambda: images_through(
        layers.TimeDistributed(layers.Dense(2, activation=double))
    ),
    "name of a built-in function": lambda: images_through(
        layers.Dense(2, activation=relu)
    ),
    "function of the convolution": lambda: images_through(
        layers.Conv2D(2, 1, activation=relu)
    ),
    "lambda of the convolution": lambda: images_through(
        layers.Conv2D(2, 1, activation=lambda x: 2 * ops.tanh(x))
    ),
    "class": lambda: images_through(Unregistered(2)),
    "model with a call of its own inside": model_with_call_inside,
    # Random numbers.
    "Dropout": lambda: images_through(
        layers.Dropout(0.5), layers.GaussianNoise(1.0)
    ),
    "augmentation": lambda: images_through(
        layers.RandomFlip(), layers.RandomBrightness(0.3, value_range=(0, 1))
    ),
    # Graphs.
    "optional input": optional_input,
    "dictionaries": dictionaries,
    "shared by two sizes": shared_by_two_sizes,
}

# What they hold is learned, and looked up, by TensorFlow.
LOOKUPS = {
    "Discretization": lambda: images_through(
        adapted(layers.Discretization(num_bins=4)), layers.Rescaling(0.5)
    ),
    **{
        f"StringLookup {mode}": lambda mode=mode: beside_images(
            adapted(layers.StringLookup(output_mode=mode), WORDS), WORDS
        )
        for mode in ("int", "multi_hot", "count", "tf_idf")
    },
    "StringLookup of a vocabulary": lambda: beside_images(
        layers.StringLookup(vocabulary=["a", "b"]), WORDS
    ),
    "IntegerLookup": lambda: beside_images(
        adapted(layers.IntegerLookup(output_mode="multi_hot"), NUMBERS), NUMBERS
    ),
    "TextVectorization": lambda: beside_images(
        adapted(layers.TextVectorization(), WORDS[:, 0]), WORDS[:, :1]
    ),
    "TextVectorization tf_idf": lambda: beside_images(
        adapted(
            layers.TextVectorization(output_mode="tf_idf", standardize=None),
            WORDS[:, 0],
        ),
        WORDS[:, :1],
    ),
    "Hashing": lambda: beside_images(layers.Hashing(5, salt=3), WORDS),
}

LOOKUPS = [
    pytest.param(build, id=name, marks=pytest.mark.tensorflow_backend)
    for name, build in LOOKUPS.items()
]
MODELS = [pytest.param(build, id=name) for name, build in MODELS.items()]


def values_for(model):
    def values(tensor):
        if tensor.dtype == "string":
            return ops.convert_to_tensor(WORDS[:, : tensor.shape[1]])
        if tensor.dtype.startswith("int"):
            return ops.convert_to_tensor(NUMBERS)
        shape = (2, *tensor.shape[1:])
        return ops.convert_to_tensor(np.resize(IMAGES, shape))

    inputs = model.inputs[0] if len(model.inputs) == 1 else model.input
    return keras.tree.map_structure(values, inputs)


def outputs_of(model, inputs, training=False):
    outputs = model(inputs, training=training)
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def randomize(model, seed=0):
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign(random.integers(0, 9, variable.shape))
        # Normalization has worked out what it needs of its statistics.
        elif variable.name not in ("mean", "variance", "count"):
            variable.assign(random.uniform(0.1, 1, variable.shape))


def assert_carried(model, copy, tolerance=1e-4):
    inputs = values_for(model)
    # Training moves seeds and statistics: both models see the same calls.
    for training in (False, True, False):
        for own, theirs in zip(
            outputs_of(copy, inputs, training),
            outputs_of(model, inputs, training),
            strict=True,
        ):
            np.testing.assert_allclose(
                own, theirs, rtol=tolerance, atol=tolerance
            )
    shared = {id(v) for v in model.variables} & {id(v) for v in copy.variables}
    assert not shared


def convert_and_fold(model, select):
    converted = convert_to_coordconv(model, select, use_radius=True)
    assert_carried(model, converted)
    random = np.random.default_rng(0)
    for layer in converted._flatten_layers():
        if isinstance(layer, keras_coordconv.CoordConv2D):
            for weight in layer.weights:
                weight.assign(random.normal(size=weight.shape))
    folded = fold_coordinates(converted)
    assert_carried(converted, folded)
    return converted, folded


@pytest.mark.parametrize("build", [*MODELS, *LOOKUPS])
def test_what_layers_hold_is_carried(build):
    convert_and_fold(build(), "all")


def test_layers_of_the_copy_have_outputs_of_its_own():
    model = images_through(
        layers.ReLU(name="relu"), layers.Lambda(double, name="double")
    )
    converted = convert_to_coordconv(model)
    for name in ("relu", "double"):
        features = keras.Model(
            converted.inputs, converted.get_layer(name).output
        )
        assert features.layers[0] is converted._layers[0]


def test_what_is_frozen_stays_frozen():
    model = images_through(
        layers.Conv2D(3, 1, name="one"),
        keras.Sequential([layers.Dense(3), layers.BatchNormalization()]),
        layers.TimeDistributed(layers.Dense(3)),
        layers.SeparableConv2D(3, 1, name="two"),
        layers.Conv2D(2, 1, name="three"),
    )
    one, inner, wrapper, two, three, _ = model.layers
    one.kernel.trainable = False
    inner.layers[0].bias.trainable = False
    wrapper.layer.trainable = False
    two.pointwise_kernel.trainable = False
    three.trainable = False
    converted = convert_to_coordconv(model, "all")
    assert trainable(converted) == trainable(model)
    assert len(converted.trainable_variables) == 8
    folded = fold_coordinates(converted)
    one, two, three = (
        folded.get_layer(name).layers[0] for name in ("one", "two", "three")
    )
    assert not one.kernel.trainable
    assert two.depthwise_kernel.trainable
    assert not two.pointwise_kernel.trainable
    assert not three.kernel.trainable


def test_frozen_model_with_a_layer_that_is_not():
    model = images_through(layers.Dense(3), layers.BatchNormalization())
    model.trainable = False
    model.layers[0].trainable = True
    converted = convert_to_coordconv(model)
    assert trainable(converted) == trainable(model)
    assert not converted.trainable_variables
    assert trainable(fold_coordinates(converted))[1][:2] == [True, True]


def trainable(model):
    """The flags of all layers and of all variables."""
    return (
        [layer.trainable for layer in model._flatten_layers()],
        [variable.trainable for variable in model.variables],
    )


def test_optional_input_stays_optional():
    model = optional_input()
    for copy in convert_and_fold(model, "all"):
        copy([ops.convert_to_tensor(IMAGES), None])


def test_sizes_of_a_shared_layer_are_folded_one_by_one():
    _, folded = convert_and_fold(shared_by_two_sizes(), "all")
    biases = {
        layer.name: layer.layers[1].bias.shape
        for layer in folded.layers
        if isinstance(layer, keras.Sequential)
    }
    assert len(biases) == 2
    assert set(biases.values()) == {(1, 6, 7, 3), (1, 1, 7, 3)}


def wrappers_of_one_layer():
    dense = layers.Dense(2)
    return images_through(
        layers.TimeDistributed(dense), layers.TimeDistributed(dense)
    )


def wrapper_without_shape():
    return images_through(layers.TimeDistributed(TextFile()))


def not_serializable():
    class Given(layers.Layer):
        def __init__(self, array, **kwargs):
            super().__init__(**kwargs)
            self.array = array

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(2,))

        def call(self, inputs):
            return inputs * self.scale + self.array

    return images_through(Given(np.ones(2)))


def two_functions_of_a_name():
    def make(factor):
        def function(x):
            return factor * x

        return function

    return images_through(
        layers.Reshape((42, 2)),
        layers.GRU(
            2,
            activation=make(1),
            recurrent_activation=make(2),
            return_sequences=True,
        ),
        layers.Reshape((6, 7, 2)),
    )


def inner_model_of_any_size(layer):
    images = keras.Input((None, None, 2))
    inner = keras.Model(images, layer(images))
    return images_through(inner)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (wrapper_without_shape, "need `compute_output_shape`"),
        (wrappers_of_one_layer, "shares .*dense/kernel with another layer"),
        (not_serializable, "copy the layer <Given name=given, built=True>"),
        (two_functions_of_a_name, "two objects named .function."),
    ],
)
def test_layers_that_cannot_be_copied(build, message):
    model = build()
    with pytest.raises(ValueError, match=message):
        convert_to_coordconv(model)
    coordinates = keras_coordconv.CoordConv2D(2, 1)
    model = keras.Sequential([keras.Input((6, 7, 2)), *model.layers[:-1]])
    model.add(coordinates)
    with pytest.raises(ValueError, match=message):
        fold_coordinates(model)


def test_folding_inside_a_model_of_any_size():
    model = inner_model_of_any_size(keras_coordconv.CoordConv2D(2, 3))
    with pytest.raises(ValueError, match="must have a known size"):
        fold_coordinates(model)


# Each takes images of 2 channels and keeps them so.
LAYERS = {
    "Activation": lambda: layers.Activation("tanh"),
    "BatchNormalization": layers.BatchNormalization,
    "Conv2D": lambda: layers.Conv2D(2, 3, padding="same", activation=relu),
    "Conv2D of groups": lambda: layers.Conv2D(2, 1, groups=2, use_bias=False),
    "Dense": lambda: layers.Dense(2, activation=double),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "Discretization": lambda: keras.Sequential(
        [layers.Discretization([-2.0, 0.0, 1.0, 3.0]), layers.Rescaling(0.5)]
    ),
    "Dropout": lambda: layers.Dropout(0.3),
    "GaussianNoise": lambda: layers.GaussianNoise(0.3),
    "Lambda": lambda: layers.Lambda(double),
    "LayerNormalization": layers.LayerNormalization,
    "Normalization": lambda: adapted(layers.Normalization()),
    "SeparableConv2D": lambda: layers.SeparableConv2D(2, 2, padding="same"),
    "SpectralNormalization": lambda: layers.SpectralNormalization(
        layers.Dense(2)
    ),
    "Table": lambda: with_attribute(Table(), table=np.array([0.5, 0.1])),
    "TextFile": lambda: with_attribute(TextFile(), factor="0.5"),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(2)),
    "Unregistered": lambda: Unregistered(2),
}


def draw_model(draw):
    """A graph of those layers: branches, shared layers, models inside."""
    made = []

    def through(x, depth):
        for _ in range(draw(st.integers(1, 3))):
            way = draw(
                st.sampled_from(
                    ["layer", "graph"] if depth else ["layer", "shared", "add"]
                )
            )
            if way == "shared" and made:
                x = draw(st.sampled_from(made))(x)
            elif way == "add":
                x = layers.Average()([x, ops.tanh(through(x, depth + 1))])
            elif way == "graph" and depth < 2:
                inputs = keras.Input(x.shape[1:])
                x = keras.Model(inputs, through(inputs, depth + 1))(x)
            else:
                made.append(LAYERS[draw(st.sampled_from(sorted(LAYERS)))]())
                x = made[-1](x)
        return x

    inputs = keras.Input((6, 7, 2))
    outputs = layers.Conv2D(3, 2, name="last")(through(inputs, 0))
    model = keras.Model(inputs, outputs)
    randomize(model, draw(st.integers(0, 9)))
    for variable in model.trainable_variables:
        variable.trainable = draw(st.booleans())
    return model


def check_random_model(data):
    model = draw_model(data.draw)
    select = data.draw(st.sampled_from(["first", "all"]))
    converted, folded = convert_and_fold(model, select)
    assert trainable(converted) == trainable(model)
    assert folded.output_shape == model.output_shape


SETTINGS = hypothesis.settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.generate],
)


@hypothesis.settings(SETTINGS, max_examples=20)
@hypothesis.given(st.data())
def test_random_models(data):
    check_random_model(data)


@pytest.mark.long
@hypothesis.settings(SETTINGS, max_examples=500)
@hypothesis.given(st.data())
def test_many_random_models(data):
    check_random_model(data)


def test_in_float32():
    inputs = keras.Input((6, 7, 2))
    x = keras_coordconv.CoordConv2D(3, 3, dtype="mixed_bfloat16")(inputs)
    x = layers.Conv2D(2, 2, dtype="mixed_bfloat16")(x)
    model = keras.Model(inputs, x)
    copy = clone.in_float32(model)
    outputs = copy(IMAGES)
    assert keras.utils.standardize_dtype(outputs.dtype) == "float32"
    for old, new in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    plain = [layer.kernel for layer in copy.layers[1:]]
    grid = np.broadcast_to(numpy_coordinates((6, 7)), (20, 6, 7, 2))
    expected = np.concatenate([IMAGES, grid], axis=-1).astype("float32")
    for kernel in plain:
        expected = ops.conv(expected, kernel)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
