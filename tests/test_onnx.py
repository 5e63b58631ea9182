"""ONNX files with coordinates per example, of each backend, in its runtime."""

import keras
import numpy as np
import pytest
from conversion.test_convert import randomize
from keras import ops

import keras_coordconv

# What Keras needs to export from each backend.
EXPORTERS = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}
LAYERS = {
    "CoordConv2D": {"filters": 4, "kernel_size": 3, "radius_center": 0.5},
    "CoordConv2D strided": {
        **{"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"},
        "activation": "relu",
    },
    "CoordConv2D appending": {"filters": 8, "kernel_size": 1},
    "CoordConv2D encoding": {
        **{"filters": 4, "kernel_size": 3},
        "encoding": keras_coordconv.FourierFeatures(2, True),
    },
    "CoordConv2DTranspose": {"filters": 4, "kernel_size": 3, "strides": 2},
    "CoordDepthwiseConv2D": {"kernel_size": 3},
    "CoordSeparableConv2D": {"filters": 4, "kernel_size": 3},
    "CoordinateChannel2D": {"radius_center": (0.0, 1.0)},
    "SoftArgmax2D": {},
}
FRAMES = {"affine": (2, 3), "coordinates": (6, 7, 2)}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("frame", FRAMES)
def test_coordinates_of_each_example(tmp_path, frame, name):
    """Not those of the example that the exporter traced."""
    for package in ("onnx", EXPORTERS[keras.backend.backend()]):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    arguments = dict(LAYERS[name])
    if "radius_center" in arguments:
        arguments["use_radius"] = True
    layer = getattr(keras_coordconv, name.split()[0])(**arguments)
    inputs = [keras.Input((6, 7, 3)), keras.Input(FRAMES[frame])]
    outputs = layer(inputs[0], **{frame: inputs[1]})
    model = randomize(keras.Model(inputs, outputs))
    random = np.random.default_rng(0)
    examples = [
        random.normal(size=(3, *tensor.shape[1:])).astype("float32")
        for tensor in inputs
    ]
    model(examples)  # Keras's exporter refuses a model that never ran.
    settings = {}
    if keras.backend.backend() == "torch":
        # Keras exports one batch size from there.
        shapes = [keras.InputSpec(shape=x.shape) for x in examples]
        settings["input_signature"] = [shapes]
    path = str(tmp_path / "model.onnx")
    model.export(path, format="onnx", verbose=False, **settings)
    session = onnxruntime.InferenceSession(path)
    names = [found.name for found in session.get_inputs()]
    for scale in (1, -2):
        examples[1] = scale * examples[1]
        np.testing.assert_allclose(
            session.run(None, dict(zip(names, examples, strict=True)))[0],
            ops.convert_to_numpy(model(examples)),
            rtol=1e-4,
            atol=1e-4,
        )
