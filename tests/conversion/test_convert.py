import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_coordconv
from keras_coordconv import convert_to_coordconv
from keras_coordconv import fold_coordinates


def randomize(model):
    """Weights that are not those of the initializers, all of them."""
    random = np.random.default_rng(0)
    model.set_weights(
        [
            # Variances must be positive.
            np.abs(random.normal(size=w.shape)) + 0.1
            if w.name.endswith("variance")
            else 0.3 * random.normal(size=w.shape)
            for w in model.weights
        ]
    )
    return model


def random_inputs(model, batch=3):
    random = np.random.default_rng(1)
    return [
        random.normal(size=(batch, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def predict(model, inputs):
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return [
        ops.convert_to_numpy(output)
        for output in keras.tree.flatten(model(inputs, training=False))
    ]


def assert_same_outputs(model, other, rtol=1e-5, atol=1e-5):
    inputs = random_inputs(model)
    expected = predict(model, inputs)
    outputs = predict(other, inputs)
    for own, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=rtol, atol=atol)


def sequential_model():
    return keras.Sequential(
        [
            keras.Input((8, 9, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv2D(5, 3, activation="tanh", name="second"),
            layers.Conv2DTranspose(3, 2, strides=2, name="third"),
        ],
        name="plain",
    )


def graph_model():
    """Two inputs and outputs, a shared and a nested convolution."""
    one, two = (keras.Input((6, 7, 2), name=name) for name in ("one", "two"))
    shared = layers.Conv2D(4, 3, groups=2, name="shared")
    inner = keras.Sequential(
        [layers.Conv2D(4, 1, activation="relu", name="inner_conv")],
        name="inner",
    )
    x, y = shared(one), shared(two)
    x = inner(x) * 2.0 + layers.LayerNormalization()(y)
    head = layers.Dense(2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model([one, two], [head, y], name="graph")


def channels_first_model():
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Permute((2, 1)),
            layers.Conv1D(4, 3, data_format="channels_first", groups=1),
            layers.Permute((2, 1)),
        ]
    )


def causal_model():
    return keras.Sequential(
        [
            keras.Input((9, 3)),
            layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
        ]
    )


def volume_model():
    return keras.Sequential(
        [
            keras.Input((5, 6, 7, 2)),
            layers.Conv3D(3, 2, strides=2, use_bias=False),
            layers.Conv3DTranspose(2, 3, padding="same"),
        ]
    )


MODELS = [
    sequential_model,
    graph_model,
    channels_first_model,
    causal_model,
    volume_model,
]


def coordinate_layers(model):
    return [
        layer.name
        for layer in model._flatten_layers()
        if type(layer).__name__.startswith("Coord")
    ]


def count_convolutions(model):
    return sum("Conv" in type(x).__name__ for x in model._flatten_layers())


def has_channels_first(build):
    return (
        build is channels_first_model
        and keras.backend.backend() == "tensorflow"
    )


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("select", ["first", "all"])
def test_converted_model_gives_the_same_outputs(build, select):
    if has_channels_first(build):
        pytest.skip("TensorFlow has no channels_first convolution on CPUs")
    model = randomize(build())
    before = model.get_weights()
    converted = convert_to_coordconv(model, select, use_radius=True)
    assert_same_outputs(model, converted)
    names = coordinate_layers(converted)
    assert len(names) == (1 if select == "first" else count_convolutions(model))
    for own, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, old)
    assert converted.name == model.name
    assert [layer.name for layer in converted.layers] == [
        layer.name for layer in model.layers
    ]


@pytest.mark.parametrize("build", [sequential_model, graph_model])
def test_training_moves_the_coordinate_weights(build):
    model = randomize(build())
    converted = convert_to_coordconv(model, "all")
    convolutions = [
        layer
        for layer in converted._flatten_layers()
        if type(layer).__name__.startswith("Coord")
    ]
    assert len(convolutions) == (3 if build is sequential_model else 2)
    before = [layer.get_weights() for layer in convolutions]
    inputs = random_inputs(model)
    targets = [np.ones_like(output) for output in predict(model, inputs)]
    converted.compile("sgd", "mse", jit_compile=False)
    converted.train_on_batch(
        inputs if len(inputs) > 1 else inputs[0],
        targets if len(targets) > 1 else targets[0],
    )
    for layer, old in zip(convolutions, before, strict=True):
        _, position = layer._split_weights()
        for weight in keras.tree.flatten(position)[-1:]:
            assert np.abs(ops.convert_to_numpy(weight)).max() > 0
        assert any(
            (own != past).any()
            for own, past in zip(layer.get_weights(), old, strict=True)
        )


def test_what_is_converted():
    model = sequential_model()

    def converted(select):
        return sorted(coordinate_layers(convert_to_coordconv(model, select)))

    assert converted("first") == ["first"]
    assert converted("all") == ["first", "second", "third"]
    assert converted(["third"]) == ["third"]
    assert converted(lambda layer: layer.strides == (2, 2)) == [
        "first",
        "third",
    ]


def test_shared_convolution_stays_shared():
    converted = convert_to_coordconv(graph_model(), "all")
    assert isinstance(
        converted.get_layer("shared"), keras_coordconv.CoordConv2D
    )
    assert len(converted.get_layer("shared").weights) == 2
    inner = converted.get_layer("inner").get_layer("inner_conv")
    assert isinstance(inner, keras_coordconv.CoordConv2D)


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.parametrize("coordinate_range", [(-1.0, 1.0), "pixel"])
def test_folded_model_gives_the_same_outputs(build, coordinate_range):
    if has_channels_first(build):
        pytest.skip("TensorFlow has no channels_first convolution on CPUs")
    model = convert_to_coordconv(
        build(), "all", use_radius=True, coordinate_range=coordinate_range
    )
    randomize(model)
    folded = fold_coordinates(model)
    assert not coordinate_layers(folded)
    assert_same_outputs(model, folded, rtol=1e-4, atol=1e-4)


def test_folded_model_is_saved_and_loaded(tmp_path):
    model = randomize(convert_to_coordconv(sequential_model(), "all"))
    folded = fold_coordinates(model)
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    assert_same_outputs(folded, loaded, rtol=0, atol=0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_folding_a_mixed_precision_model(policy):
    keras.config.set_dtype_policy(policy)
    model = convert_to_coordconv(sequential_model(), "all")
    # Weights of the initializers: larger ones overflow in float16.
    model.get_layer("first").set_weights(
        [
            0.3 * np.random.default_rng(0).normal(size=w.shape)
            for w in model.get_layer("first").weights
        ]
    )
    folded = fold_coordinates(model)
    assert not coordinate_layers(folded)
    assert folded.get_layer("first").layers[1].bias.dtype == "float32"
    precision = 2.0**-10 if policy == "mixed_float16" else 2.0**-7
    assert_same_outputs(model, folded, rtol=8 * precision, atol=8 * precision)


def test_low_rank_updates_are_merged():
    model = sequential_model()
    model.get_layer("first").enable_lora(2)
    randomize(model)
    converted = convert_to_coordconv(model, "first")
    assert_same_outputs(model, converted)
    converted.get_layer("first").enable_lora(2)
    randomize(converted)
    folded = fold_coordinates(converted)
    assert not coordinate_layers(folded)
    assert_same_outputs(converted, folded)


def test_activity_is_regularized_after_the_activation():
    model = keras.Sequential(
        [
            keras.Input((5, 6, 2)),
            keras_coordconv.CoordConv2D(
                3, 3, activation="relu", activity_regularizer="l1"
            ),
        ]
    )
    randomize(model)
    (inputs,) = random_inputs(model)
    folded = fold_coordinates(model)
    for each in (model, folded):
        each(inputs)
    np.testing.assert_allclose(
        *[float(sum(each.losses)) for each in (model, folded)], rtol=1e-5
    )


@pytest.mark.parametrize("convert", [convert_to_coordconv, fold_coordinates])
def test_compiled_model_stays_compiled_and_its_copy_is_not(convert):
    model = convert_to_coordconv(sequential_model(), ["second"])
    # Keras cannot compile a copy with a function that it does not know.
    model.compile("sgd", lambda target, output: ops.mean(output - target))
    assert not convert(model).compiled
    assert model.compiled


@pytest.mark.parametrize("hidden_in", ["subclassed model", "wrapper"])
def test_convolutions_without_a_graph_around_them(hidden_in):
    def around(convolution):
        class Subclassed(keras.Model):
            def __init__(self, convolution=None, **kwargs):
                super().__init__(**kwargs)
                self.convolution = convolution

            def call(self, inputs):
                return self.convolution(inputs)

            def compute_output_shape(self, input_shape):
                return self.convolution.compute_output_shape(input_shape)

            def get_config(self):
                convolution = keras.layers.serialize(self.convolution)
                return {**super().get_config(), "convolution": convolution}

            @classmethod
            def from_config(cls, config):
                inner = keras.layers.deserialize(config.pop("convolution"))
                return cls(inner, **config)

        if hidden_in == "wrapper":
            return keras.Sequential(
                [keras.Input((4, 5, 6, 2)), layers.TimeDistributed(convolution)]
            )
        return keras.Sequential(
            [keras.Input((5, 6, 2)), Subclassed(convolution)]
        )

    with pytest.raises(ValueError, match=r"\['hidden'\] inside a subclassed"):
        convert_to_coordconv(around(layers.Conv2D(3, 3, name="hidden")), "all")
    convolution = keras_coordconv.CoordConv2D(3, 3, name="hidden")
    with pytest.raises(ValueError, match=r"\['hidden'\] inside a subclassed"):
        fold_coordinates(around(convolution))


def test_folding_leaves_depthwise_layers():
    model = keras.Sequential(
        [
            keras.Input((5, 6, 2)),
            keras_coordconv.CoordDepthwiseConv2D(3, name="depthwise"),
            keras_coordconv.CoordConv2D(3, 2, name="folded"),
        ]
    )
    folded = fold_coordinates(randomize(model))
    assert coordinate_layers(folded) == ["depthwise"]
    assert_same_outputs(model, folded)


@keras.saving.register_keras_serializable(package="tests")
class ThreeChannels(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        assert shape[-2] == 3
        return ops.ones(shape, dtype)

    def get_config(self):
        return {}


def constant(*shape):
    return keras.initializers.Constant(np.full(shape, 0.5, "float32"))


INITIALIZED = [
    lambda: layers.Conv1D(4, 3, kernel_initializer=constant(3, 3, 4)),
    lambda: layers.Conv2D(4, 3, kernel_initializer=constant(3, 3, 3, 4)),
    lambda: layers.Conv2D(
        4, 3, groups=1, kernel_initializer="ones", bias_initializer=constant(4)
    ),
    lambda: layers.Conv2D(4, 3, kernel_initializer=ThreeChannels()),
    lambda: layers.Conv2DTranspose(
        4, 3, kernel_initializer=constant(3, 3, 4, 3)
    ),
    lambda: layers.SeparableConv2D(
        4, 3, depthwise_initializer=constant(3, 3, 3, 1)
    ),
    lambda: layers.SeparableConv2D(
        4, 3, pointwise_initializer=constant(1, 1, 3, 4)
    ),
    lambda: layers.Conv2D(4, 3, kernel_initializer="he_normal"),
]


@pytest.mark.parametrize("build", INITIALIZED)
def test_initializers_of_one_shape(tmp_path, build):
    """They could not make the wider kernel, here or when it is loaded."""
    layer = build()
    shape = (9, 8, 3) if layer.rank == 2 else (9, 3)
    model = randomize(keras.Sequential([keras.Input(shape), layer]))
    converted = convert_to_coordconv(model)
    assert_same_outputs(model, converted)
    converted.save(tmp_path / "converted.keras")
    loaded = keras.saving.load_model(tmp_path / "converted.keras")
    assert_same_outputs(model, loaded)
    # One that makes any kernel is kept.
    config = converted.layers[0].get_config()
    for name, value in layer.get_config().items():
        if name.endswith("initializer") and value["class_name"] not in (
            "Constant",
            "ThreeChannels",
        ):
            assert config[name] == value, name
    assert config["bias_initializer"] == layer.get_config()["bias_initializer"]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras_coordconv.CoordConv2D(
            4, 3, kernel_initializer=constant(3, 3, 5, 4)
        ),
        lambda: keras_coordconv.CoordSeparableConv2D(
            4, 3, depthwise_initializer=constant(3, 3, 5, 1)
        ),
    ],
)
def test_folding_with_initializers_of_one_shape(layer):
    model = randomize(keras.Sequential([keras.Input((9, 8, 3)), layer()]))
    assert_same_outputs(model, fold_coordinates(model))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "MobileNetV2", "EfficientNetB0"])
def test_applications(name):
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(96, 96, 3)
    )
    converted = convert_to_coordconv(model, "first", use_radius=True)
    assert_same_outputs(model, converted, rtol=1e-4, atol=1e-6)
    images = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3))
    before = converted.predict_on_batch(images)
    converted.compile("sgd", "sparse_categorical_crossentropy")
    converted.train_on_batch(images, np.arange(4))
    assert np.abs(converted.predict_on_batch(images) - before).max() > 0
    layer = next(
        layer
        for layer in converted.layers
        if isinstance(layer, keras_coordconv.CoordConv2D)
    )
    assert np.abs(layer.get_weights()[0][..., 3:, :]).max() > 0
    assert_same_outputs(
        converted, fold_coordinates(converted), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("last", "Received: select='last'"),
        (["nowhere"], r"Unknown convolutions: \['nowhere'\]"),
        (lambda layer: False, "select at least one"),
        ([], "select at least one"),
        (3, "Received: select=3"),
    ],
)
def test_bad_select(select, message):
    with pytest.raises(ValueError, match=message):
        convert_to_coordconv(sequential_model(), select)


@pytest.mark.parametrize("convert", [convert_to_coordconv, fold_coordinates])
def test_bad_model(convert):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = layers.Conv2D(2, 3)

        def call(self, inputs):
            return self.convolution(inputs)

    class OwnCall(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs) + 1

    subclassed = Subclassed()
    subclassed(np.zeros((1, 5, 5, 3)))
    images = keras.Input((5, 5, 3))
    for model in (
        "model",
        layers.Conv2D(2, 3),
        keras.Sequential([layers.Conv2D(2, 3)]),
        subclassed,
        OwnCall(images, layers.Conv2D(2, 3)(images)),
    ):
        with pytest.raises(
            ValueError, match="must be a built Functional or Sequential"
        ) as error:
            convert(model)
        assert f"Received: model={model}" in str(error.value)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (convert_to_coordconv, "has no convolution to convert"),
        (
            fold_coordinates,
            r"no CoordConv to fold. A depthwise .* Received: model=.* with "
            r"(no layer of|CoordDepthwiseConv1D 'coord_depth)",
        ),
    ],
)
@pytest.mark.parametrize(
    "layer",
    [layers.Dense(2), keras_coordconv.CoordDepthwiseConv1D(1)],
)
def test_model_without_a_convolution(convert, message, layer):
    model = keras.Sequential([keras.Input((4, 2)), layer])
    with pytest.raises(ValueError, match=message):
        convert(model)


def test_folding_needs_a_known_size():
    model = keras.Sequential(
        [keras.Input((None, 6, 2)), keras_coordconv.CoordConv2D(2, 3)]
    )
    with pytest.raises(ValueError, match="known size"):
        fold_coordinates(model)
