"""Exports in the layout of Triton and OpenVINO Model Server."""

import keras
import numpy as np
import pytest

import keras_coordconv
from keras_coordconv.serving import export_for_runtime
from keras_coordconv.serving import runtimes

pytestmark = pytest.mark.tensorflow_backend

FILES = {"onnx": ["model.onnx"], "openvino": ["model.bin", "model.xml"]}
formats = pytest.mark.parametrize("format", FILES)


@pytest.fixture(autouse=True)
def _packages(request):
    if "format" in request.fixturenames:
        for package in ("onnx", "tf2onnx", "onnxruntime", "openvino"):
            pytest.importorskip(package)


def photo_model(name="photos"):
    inputs = keras.Input((6, 5, 3), name="image")
    x = keras_coordconv.CoordConv2D(4, 3, use_radius=True)(inputs)
    x = keras.layers.GlobalMaxPooling2D()(x)
    outputs = keras.layers.Dense(3, "softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name=name)


def several_model():
    image = keras.Input((6, 5, 3), name="layer_a")
    shift = keras.Input((2,), name="layer_b")
    maps = keras_coordconv.CoordConv2D(2, 3, name="maps")(image)
    moved = keras.layers.Dense(2)(shift)
    return keras.Model({"image": image, "shift": shift}, [maps, moved])


def run(path, arrays):
    """Run the file of a version, independently of the export's own check."""
    if (path / "model.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(path / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, arrays), strict=True))
    import openvino

    compiled = openvino.Core().compile_model(
        path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    request = compiled.create_infer_request()
    request.infer(arrays)
    return {
        output.any_name: request.get_tensor(output).data.copy()
        for output in compiled.outputs
    }


def random_arrays(batch, **shapes):
    random = np.random.default_rng(batch)
    return {
        name: random.normal(size=(batch, *shape)).astype("float32")
        for name, shape in shapes.items()
    }


@formats
def test_a_model_that_was_never_called(tmp_path, format):
    model = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(photo_model())
    )
    path = export_for_runtime(model, tmp_path / "photos", format=format)
    assert path == tmp_path / "photos" / "1"
    assert sorted(file.name for file in path.iterdir()) == FILES[format]
    for batch in (1, 5, 33):
        arrays = random_arrays(batch, image=(6, 5, 3))
        found = run(path, arrays)
        assert list(found) == ["probabilities"]
        np.testing.assert_allclose(
            found["probabilities"],
            model.predict_on_batch(arrays["image"]),
            atol=1e-5,
        )


@formats
def test_a_model_with_the_name_of_its_input(tmp_path, format):
    model = photo_model(name="image")
    path = export_for_runtime(model, tmp_path / "model", format=format)
    image = np.random.rand(2, 6, 5, 3).astype("float32")
    (found,) = run(path, {"image": image}).values()
    np.testing.assert_allclose(found, model.predict(image), atol=1e-5)


@formats
def test_several_inputs_and_outputs(tmp_path, format):
    model = several_model()
    path = export_for_runtime(model, tmp_path / "m", 7, format=format)
    assert path.name == "7"
    arrays = random_arrays(3, image=(6, 5, 3), shift=(2,))
    found = run(path, arrays)
    expected = model.predict_on_batch(arrays)
    assert set(found) == {"maps", model.output_names[1]}
    np.testing.assert_allclose(found["maps"], expected[0], atol=1e-5)
    np.testing.assert_allclose(
        found[model.output_names[1]], expected[1], atol=1e-5
    )


@formats
def test_sequential_model(tmp_path, format):
    model = keras.Sequential(
        [
            keras.Input((6, 5, 3), name="image"),
            keras_coordconv.CoordConv2D(2, 3, name="maps"),
        ]
    )
    path = export_for_runtime(model, tmp_path / "m", format=format)
    arrays = random_arrays(2, image=(6, 5, 3))
    np.testing.assert_allclose(
        run(path, arrays)["maps"],
        model.predict_on_batch(arrays["image"]),
        atol=1e-5,
    )


@formats
def test_configuration_of_triton(tmp_path, format):
    export_for_runtime(photo_model(), tmp_path / "photos", format=format)
    file = tmp_path / "photos" / "config.pbtxt"
    backend = {"onnx": "onnxruntime", "openvino": "openvino"}[format]
    assert file.read_text() == f'backend: "{backend}"\nmax_batch_size: 32\n'
    file.write_text("max_batch_size: 8\n")
    export_for_runtime(photo_model(), tmp_path / "photos", format=format)
    # The user's file is kept, and the next version is beside it.
    assert file.read_text() == "max_batch_size: 8\n"
    names = {path.name for path in (tmp_path / "photos").iterdir()}
    assert names == {"1", "2", "config.pbtxt"}


@formats
def test_another_answer_is_not_published(tmp_path, monkeypatch, format):
    right = runtimes._open

    def wrong(file):
        predict = right(file)
        return lambda arrays: {
            name: values + 1e-3 for name, values in predict(arrays).items()
        }

    monkeypatch.setattr(runtimes, "_open", wrong)
    with pytest.raises(RuntimeError, match="'probabilities' differs"):
        export_for_runtime(photo_model(), tmp_path, format=format)
    assert not list(tmp_path.iterdir())


def test_unknown_format(tmp_path):
    with pytest.raises(ValueError, match="Received: format='tflite'"):
        export_for_runtime(photo_model(), tmp_path, format="tflite")


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(runtimes._PACKAGES, "onnx", ("no_such_package",))
    with pytest.raises(
        ImportError, match=r"pip install 'coordconv-keras\[onnx"
    ):
        export_for_runtime(photo_model(), tmp_path, format="onnx")
    assert not list(tmp_path.iterdir())
