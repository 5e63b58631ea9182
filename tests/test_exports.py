"""Every layer, exported and then run by the runtime on the other side."""

import collections

import keras
import numpy as np
import pytest
from conversion.test_convert import randomize

import keras_coordconv
from keras_coordconv import fold_coordinates

pytestmark = pytest.mark.tensorflow_backend

SIZES = [(12, 14, 3), (None, None, 3)]
# What exporters and small runtimes are known to stumble over.
UNWANTED = {"LinSpace", "BatchMatMul", "BatchMatMulV2", "BroadcastArgs"}


def every_layer_model(shape):
    inputs = keras.Input(shape, name="inputs")
    x = keras_coordconv.CoordConv2D(
        4, 3, strides=2, padding="same", use_radius=True, activation="relu"
    )(inputs)
    x = keras_coordconv.CoordSeparableConv2D(5, 3)(x)
    x = keras_coordconv.CoordConv2DTranspose(3, 2, strides=2)(x)
    x = keras_coordconv.CoordDepthwiseConv2D(3)(x)
    outputs = keras_coordconv.CoordinateChannel2D(name="outputs")(x)
    return randomize(keras.Model(inputs, outputs))


def regression_model(shape):
    """Coordinates into a map, and out of it."""
    inputs = keras.Input(shape, name="inputs")
    x = keras_coordconv.CoordConv2D(4, 3, padding="same")(inputs)
    points = keras_coordconv.SoftArgmax2D(
        coordinate_range="pixel", trainable_temperature=True
    )
    return randomize(keras.Model(inputs, points(x)))


every_model = pytest.mark.parametrize(
    "make_model", [every_layer_model, regression_model]
)


def images(batch=3):
    random = np.random.default_rng(0)
    return random.normal(size=(batch, 12, 14, 3)).astype("float32")


def graph_operations(model, training=False):
    import tensorflow as tf

    function = tf.function(lambda x: model(x, training=training))
    graph = function.get_concrete_function(
        tf.TensorSpec((None, *model.input_shape[1:]))
    ).graph
    return collections.Counter(o.type for o in graph.get_operations())


def run_tflite(content, inputs):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=content)
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], inputs.shape)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (target,) = interpreter.get_output_details()
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        inputs = np.clip(np.round(inputs / scale + zero), -128, 127)
    interpreter.set_tensor(source["index"], inputs.astype(source["dtype"]))
    interpreter.invoke()
    outputs = interpreter.get_tensor(target["index"])
    if target["dtype"] == np.int8:
        scale, zero = target["quantization"]
        outputs = (outputs.astype("float32") - zero) * scale
    return outputs


@every_model
@pytest.mark.parametrize("shape", SIZES)
def test_operations_of_the_graph(shape, make_model):
    operations = graph_operations(make_model(shape))
    assert "Conv2D" in operations
    assert not UNWANTED & set(operations)


@pytest.mark.parametrize(
    "encoding",
    [
        keras_coordconv.FourierFeatures(2),
        keras_coordconv.FourierFeatures(3, include_coordinates=True),
        keras_coordconv.GaussianFourierFeatures(4),
        keras_coordconv.Periodic(1.0),
    ],
)
@pytest.mark.parametrize("frame", [(2, 3), (None, None, 2)])
def test_features_have_a_known_number(encoding, frame):
    """Otherwise Keras convolves with XLA, which no other runtime has."""
    import tensorflow as tf

    images = keras.Input((None, None, 3))
    layer = keras_coordconv.CoordConv2D(4, 3, encoding=encoding)
    name = "affine" if frame == (2, 3) else "coordinates"
    given = keras.Input(frame)
    model = keras.Model([images, given], layer(images, **{name: given}))
    function = tf.function(lambda *inputs: model(inputs))
    specs = [tf.TensorSpec(tensor.shape) for tensor in model.inputs]
    graph = function.get_concrete_function(*specs).graph
    calls = [o.name for o in graph.get_operations() if "Call" in o.type]
    assert not calls


@pytest.mark.parametrize(
    ("channels", "arguments", "appended"),
    [
        (16, {"kernel_size": 1}, True),
        (17, {"kernel_size": 1}, False),
        (15, {"kernel_size": 1}, False),
        (16, {"kernel_size": (1, 2)}, False),
        (16, {"kernel_size": 1, "strides": (1, 2)}, False),
    ],
)
def test_which_form_a_layer_takes(channels, arguments, appended):
    model = keras.Sequential(
        [
            keras.Input((12, 14, channels)),
            keras_coordconv.CoordConv2D(32, **arguments),
        ]
    )

    # Folded, there is a second product, that of the coordinates; so there is in
    # training, where a copy of the input would be kept.
    def products(training):
        operations = graph_operations(model, training)
        return operations["Conv2D"] + operations["MatMul"]

    assert (products(training=False) == 1) == appended
    assert products(training=True) == 2


def test_folded_graph_is_convolution_and_add():
    model = keras.Sequential(
        [
            keras.Input((12, 14, 3)),
            keras_coordconv.CoordConv2D(4, 3, use_radius=True),
        ]
    )
    operations = graph_operations(fold_coordinates(model))
    assert set(operations) == {
        *("Placeholder", "ReadVariableOp", "Conv2D", "AddV2"),
        *("Identity", "NoOp"),
    }


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize(
    ("make_model", "int8"),
    [
        (every_layer_model, False),
        (every_layer_model, True),
        (regression_model, False),
    ],
)
def test_tflite_without_flex(tmp_path, shape, make_model, int8):
    import tensorflow as tf

    model = make_model(shape)
    model.export(tmp_path / "model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "model")
    )
    # Neither set has Flex: conversion fails where TFLite has no operation.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [image[None]] for image in images()
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    content = converter.convert()
    for batch in (1, 3):
        expected = model.predict_on_batch(images(batch))
        outputs = run_tflite(content, images(batch))
        # Eight bits: four roundings in a row, each of 1/255 of its range.
        tolerance = (4 / 255 if int8 else 1e-6) * np.ptp(expected)
        np.testing.assert_allclose(outputs, expected, atol=tolerance, rtol=0)


@every_model
@pytest.mark.parametrize("shape", SIZES)
def test_onnx_runtime_and_openvino(tmp_path, shape, make_model):
    for package in ("onnx", "tf2onnx"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    model = make_model(shape)
    path = str(tmp_path / "model.onnx")
    model(images())  # Keras's exporter refuses a model that never ran.
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    runs = [lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]]
    openvino = pytest.importorskip("openvino")
    # Where the processor has bfloat16, OpenVINO computes in that by default.
    compiled = openvino.compile_model(
        openvino.convert_model(path),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    runs.append(lambda x: compiled(x)[0])
    for batch in (1, 3):
        expected = model.predict_on_batch(images(batch))
        for run in runs:
            np.testing.assert_allclose(
                run(images(batch)), expected, rtol=1e-4, atol=1e-5
            )


def test_onnx_graph_of_unknown_size_is_small(tmp_path):
    for package in ("tf2onnx", "onnx"):
        onnx = pytest.importorskip(package)
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras_coordconv.CoordConv2D(16, 3)]
    )
    model(images())
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False)
    assert len(onnx.load(path).graph.node) <= 45


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("jit_compile", [False, True])
@every_model
def test_saved_model(tmp_path, shape, jit_compile, make_model):
    import tensorflow as tf

    model = make_model(shape)
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    function = tf.function(loaded.serve, jit_compile=jit_compile)
    for batch in (1, 3):
        np.testing.assert_allclose(
            function(images(batch)),
            model.predict_on_batch(images(batch)),
            rtol=1e-4,
            atol=1e-5,
        )
