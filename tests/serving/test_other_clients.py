"""An independent client of TensorFlow Serving's APIs, against the mock server.

It runs in a process of its own: its protocol buffers and TensorFlow's have the
same names.
"""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_coordconv
from keras_coordconv.serving import export_for_serving

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")

CLIENT = pathlib.Path(__file__).parents[2] / "examples/servers/ovms_client.py"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from serving import mock_server

    folder = tmp_path_factory.mktemp("served")
    image = keras.Input((6, 5, 3), name="image")
    shift = keras.Input((2,), name="shift")
    maps = keras_coordconv.CoordConv2D(2, 3)(image)
    moved = keras.layers.Dense(3, name="moved")(shift)
    both = keras.Model(
        {"image": image, "shift": shift}, {"maps": maps, "moved": moved}
    )
    models = {"both": both, "one": keras.Model(shift, moved)}
    for name, model in models.items():
        export_for_serving(model, folder / name)
    server = mock_server.MockServer(folder)
    yield models, server
    server.stop()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("name", ["both", "one"])
def test_ovmsclient(served, tmp_path, protocol, name):
    models, server = served
    random = np.random.default_rng(0)
    inputs = {"shift": random.normal(size=(3, 2)).astype("float32")}
    if name == "both":
        image = random.normal(size=(3, 6, 5, 3))
        inputs["image"] = image.astype("float32")
    np.savez(tmp_path / "inputs.npz", **inputs)
    address = {"http": server.rest, "grpc": server.grpc}[protocol]
    result = subprocess.run(
        [
            *(sys.executable, CLIENT, protocol, address.partition("//")[2]),
            *(name, tmp_path / "inputs.npz", tmp_path / "outputs.npz"),
        ],
        capture_output=True,
        text=True,
    )
    if "No module named 'ovmsclient'" in result.stderr:
        pytest.skip("needs ovmsclient")
    assert not result.returncode, result.stderr
    found = dict(np.load(tmp_path / "outputs.npz"))
    expected = models[name].predict_on_batch(
        inputs if name == "both" else inputs["shift"]
    )
    if name == "one":
        expected = {"moved": expected}
    assert set(found) == set(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=1e-5)
