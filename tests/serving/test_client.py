"""The client, against a mock server (see mock_server.py)."""

import io
import socket
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from PIL import Image

import keras_coordconv
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError
from keras_coordconv.serving import encoded_image_signature
from keras_coordconv.serving import export_for_serving
from keras_coordconv.serving.client import client as client_module

pytestmark = pytest.mark.tensorflow_backend

LABELS = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 3), name="image")
    x = keras_coordconv.CoordConv2D(4, 3)(inputs)
    x = keras.layers.GlobalMaxPooling2D()(x)
    outputs = keras.layers.Dense(3, "softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    pytest.importorskip("tensorflow_serving")
    from serving import mock_server

    folder = tmp_path_factory.mktemp("served")
    signatures = {
        "serving_default": encoded_image_signature(model, value_range=(0, 255))
    }
    export_for_serving(
        model, folder / "photos", signatures=signatures, labels=LABELS
    )
    export_for_serving(model, folder / "photos", version=3)
    server = mock_server.MockServer(folder, {"photos": {"labeled": 1}})
    yield server
    server.stop()


@pytest.fixture(params=["rest", "grpc"])
def client(request, server):
    with ServingClient(getattr(server, request.param)) as client:
        yield client


def images(size):
    random = np.random.default_rng(size)
    return random.integers(0, 256, (size, 6, 5, 3), "uint8")


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_predict_numbers(client, model, size):
    found = client.predict("photos", {"image": images(size)})
    assert list(found) == ["probabilities"]
    assert found["probabilities"].dtype == np.float32
    np.testing.assert_allclose(
        found["probabilities"],
        model.predict_on_batch(images(size).astype("float32")),
        atol=1e-5,
    )


def test_predict_files_and_labels(client, model):
    files = [png(image) for image in images(4)]
    found = client.predict("photos", {"image_bytes": files}, label="labeled")
    expected = model.predict_on_batch(images(4).astype("float32"))
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    order = np.argsort(-expected, axis=-1)
    np.testing.assert_array_equal(found["class_ids"], order)
    np.testing.assert_array_equal(found["labels"], np.array(LABELS)[order])


def test_predict_rows(server):
    files = [png(image) for image in images(3)]
    with ServingClient(server.rest) as client:
        for inputs, version in (
            ({"image": images(3)}, 3),
            ({"image_bytes": files}, 1),
        ):
            rows, columns = (
                client.predict("photos", inputs, version=version, rows=rows)
                for rows in (True, False)
            )
            assert list(rows) == list(columns)
            for name, values in columns.items():
                np.testing.assert_array_equal(rows[name], values)
    with (
        ServingClient(server.grpc) as client,
        pytest.raises(ValueError, match="rows=True for V2 or gRPC"),
    ):
        client.predict("photos", {"image": images(1)}, rows=True)


def test_versions_and_signatures(client, model):
    found = client.predict(
        "photos", {"image": images(2)}, signature="tensor", version=1
    )
    assert set(found) == {"probabilities", "class_ids", "labels"}
    assert client.status("photos") == {1: "AVAILABLE", 3: "AVAILABLE"}
    assert client.status("photos", version=3) == {3: "AVAILABLE"}
    table = client.metadata("photos", version=1)
    assert table["serving_default"]["inputs"] == {
        "image_bytes": {"dtype": "string", "shape": [None]}
    }
    assert table["tensor"]["inputs"] == {
        "image": {"dtype": "float32", "shape": [None, 6, 5, 3]}
    }


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"model": "nobody"}, "not found: nobody"),
        ({"version": 2}, "version 2"),
        ({"label": "stable"}, "label: stable"),
        ({"signature": "other"}, "signature='other'"),
        (
            {"version": 1, "inputs": {"image_bytes": [b"junk"]}},
            "Unknown image file format",
        ),
        (
            {"version": 1, "inputs": {"image_bytes": [bytes(50_000_000)]}},
            "Unknown image file format",
        ),
    ],
)
def test_failed_requests(client, arguments, text):
    arguments = {"model": "photos", "inputs": {"image": images(1)}} | arguments
    with pytest.raises(ServingError, match=text):
        client.predict(**arguments)
    # The server and the client still work.
    assert client.predict("photos", {"image": images(1)})


@pytest.mark.parametrize(
    "inputs, text",
    [
        ({"picture": np.zeros((1, 6, 5, 3))}, "picture"),
        ({}, r"the signature's inputs: \['image'\]"),
        ({"image": np.zeros((1, 6, 5, 3)), "x": np.zeros(1)}, "x"),
        ({"image": np.zeros((1, 6, 4, 3))}, "shape"),
        ({"image": np.zeros((6, 5, 3))}, "shape"),
        ({"image": np.full((1, 6, 5, 3), "x")}, "convertible to float32"),
        ({"image": np.zeros((0, 6, 5, 3))}, "must not be empty"),
    ],
)
def test_invalid_inputs_are_not_sent(client, inputs, text):
    with pytest.raises(ValueError, match=text):
        client.predict("photos", inputs)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_larger_responses_are_not_read(server, protocol):
    with ServingClient(
        getattr(server, protocol), max_response_bytes=200
    ) as client:
        assert client.status("photos", version=3) == {3: "AVAILABLE"}
        with pytest.raises(ServingError, match=r"(?i)larger than.*200"):
            client.metadata("photos")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_unavailable_server_is_retried(scheme, monkeypatch):
    pauses = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = ServingClient(f"{scheme}://127.0.0.1:{port}", retries=2)
    with pytest.raises(ServingError) as raised:
        client.status("photos")
    assert raised.value.unavailable
    assert pauses == [0.2, 0.4]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_timeout_is_not_retried(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        client = ServingClient(f"{scheme}://127.0.0.1:{port}", timeout=0.5)
        start = time.monotonic()
        with pytest.raises(ServingError):
            client.status("photos")
        assert time.monotonic() - start < 3


def test_broken_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            for _ in range(2):
                server.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        port = server.getsockname()[1]
        client = ServingClient(f"http://127.0.0.1:{port}", retries=1)
        with pytest.raises(ServingError, match="No valid response"):
            client.status("photos")


def test_rest_loads_no_grpc():
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys\n"
            "from keras_coordconv.serving import ServingClient\n"
            "ServingClient('http://localhost:1')\n"
            "assert not {'grpc', 'tensorflow_serving'} & set(sys.modules)\n",
        ],
        check=True,
    )
