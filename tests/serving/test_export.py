import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_coordconv
from keras_coordconv.models import coordinate_classification
from keras_coordconv.serving import export
from keras_coordconv.serving import export_for_serving

pytestmark = pytest.mark.tensorflow_backend

# What a server does: no code of ours, the names of the signature.
SESSION = """
import sys
import numpy as np
import tensorflow as tf

folder, batches, results = sys.argv[1], np.load(sys.argv[2]), {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    assert list(signature.inputs) == ["location"], signature.inputs
    feed = signature.inputs["location"].name
    for key, locations in batches.items():
        for name, output in signature.outputs.items():
            results[key + name] = session.run(output.name, {feed: locations})
np.savez(sys.argv[3], **results)
assert "keras_coordconv" not in sys.modules
"""


def small_model():
    inputs = keras.Input((None, None, 2), name="picture")
    x = keras_coordconv.CoordConv2D(3, 3, use_radius=True, name="features")(
        inputs
    )
    return keras.Model(inputs, x)


def files(folder):
    return sorted(
        path for path in pathlib.Path(folder).rglob("*") if path.is_file()
    )


def test_session_loader_gives_the_keras_model_s_numbers(tmp_path):
    model = coordinate_classification.coordconv_classifier()
    path = export_for_serving(
        model, tmp_path, outputs=coordinate_classification.serving_outputs
    )
    random = np.random.default_rng(0)
    batches = {
        str(size): random.uniform(4, 59, (size, 2)).astype("float32")
        for size in (1, 2, 7, 32)
    }
    np.savez(tmp_path / "batches.npz", **batches)
    subprocess.run(
        [
            *(sys.executable, "-c", SESSION, path),
            *(tmp_path / "batches.npz", tmp_path / "results.npz"),
        ],
        check=True,
    )
    results = np.load(tmp_path / "results.npz")
    for size, locations in batches.items():
        logits = model.predict_on_batch(locations)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        np.testing.assert_allclose(
            results[f"{size}probabilities"],
            exponentials / exponentials.sum(axis=-1, keepdims=True),
            atol=1e-6,
        )
        pixel = logits.argmax(axis=-1)
        np.testing.assert_array_equal(results[f"{size}row"], pixel // 64)
        np.testing.assert_array_equal(results[f"{size}column"], pixel % 64)


def test_names_of_inputs_and_outputs(tmp_path):
    import tensorflow as tf

    path = export_for_serving(small_model(), tmp_path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["picture"]
    assert list(signature.structured_outputs) == ["features"]


def test_outputs_of_a_half_precision_model_are_float32(tmp_path):
    import tensorflow as tf

    keras.config.set_dtype_policy("mixed_float16")
    path = export_for_serving(small_model(), tmp_path)
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert signature.structured_outputs["features"].dtype == tf.float32


def test_weights_are_stored_once(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras_coordconv.CoordConv2D(4000, 3)]
    )
    path = export_for_serving(model, tmp_path)
    size = sum(file.stat().st_size for file in files(path))
    assert size < 1.05 * 4 * model.count_params() + 300_000


def test_versions_count_up_and_are_never_changed(tmp_path):
    model = small_model()
    assert export_for_serving(model, tmp_path) == tmp_path / "1"
    assert export_for_serving(model, tmp_path, version=7) == tmp_path / "7"
    assert export_for_serving(model, tmp_path).name == "8"
    before = {path: path.read_bytes() for path in files(tmp_path)}
    with pytest.raises(ValueError, match="Received: version=7"):
        export_for_serving(model, tmp_path, version=7)
    assert {path: path.read_bytes() for path in files(tmp_path)} == before


@pytest.mark.parametrize("version", [0, -1, "2", 1.5])
def test_bad_version(tmp_path, version):
    with pytest.raises(ValueError, match="Received: version="):
        export_for_serving(small_model(), tmp_path, version=version)


def test_outputs_need_different_names(tmp_path):
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1, name="twice")
    model = keras.Model(inputs, [outputs(inputs), outputs(2 * inputs)])
    with pytest.raises(ValueError, match="must have different names"):
        export_for_serving(model, tmp_path)


def test_nothing_is_published_before_it_is_on_disk(tmp_path, monkeypatch):
    def fail(folder):
        assert (folder / "saved_model.pb").exists()
        raise OSError("no space left")

    monkeypatch.setattr(export, "_flush_to_disk", fail)
    with pytest.raises(OSError, match="no space left"):
        export_for_serving(small_model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_failed_export_leaves_nothing(tmp_path):
    def broken(outputs):
        raise RuntimeError("broken outputs")

    with pytest.raises(RuntimeError, match="broken outputs"):
        export_for_serving(small_model(), tmp_path / "model", outputs=broken)
    assert not files(tmp_path)
