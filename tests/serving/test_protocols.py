"""V1 without metadata, rows, and V2: requests and responses of the client."""

import http.server
import json
import threading

import numpy as np
import pytest

from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError


class Served(http.server.BaseHTTPRequestHandler):
    """Answers with `server.answers`, by path; 404 if there is none."""

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(json.loads(body))

    def answer(self, body):
        self.server.requests.append((self.path, body))
        missing = 404, {"detail": "Not Found"}
        status, answer = self.server.answers.get(self.path, missing)
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.HTTPServer(("127.0.0.1", 0), Served)
    server.answers, server.requests = {}, []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def spec(dtype, *sizes):
    dims = [{"size": f"{size}"} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims}}


def signature_def(inputs, outputs):
    table = {"serving_default": {"inputs": inputs, "outputs": outputs}}
    return 200, {"metadata": {"signature_def": {"signature_def": table}}}


def test_rows_of_one_input_and_output(server):
    model = "/v1/models/m"
    server.answers[f"{model}/metadata"] = signature_def(
        {"x": spec("DT_FLOAT", -1, 2)}, {"y": spec("DT_FLOAT", -1)}
    )
    server.answers[f"{model}:predict"] = 200, {"predictions": [3.5, 4.0]}
    client = ServingClient(server.address)
    found = client.predict("m", {"x": [[1, 2], [3, 4]]}, rows=True)
    assert found["y"].dtype == np.float32
    np.testing.assert_array_equal(found["y"], [3.5, 4])
    assert server.requests[-1][1] == {
        "signature_name": "serving_default",
        "instances": [[1.0, 2.0], [3.0, 4.0]],
    }


def test_rows_of_several_inputs_and_outputs(server):
    model = "/v1/models/m"
    server.answers[f"{model}/metadata"] = signature_def(
        {"tag": spec("DT_STRING", -1), "x": spec("DT_INT32", -1, 2)},
        {"image_bytes": spec("DT_STRING", -1), "n": spec("DT_INT32", -1)},
    )
    predictions = [
        {"image_bytes": {"b64": "AP8="}, "n": 1},
        {"image_bytes": {"b64": "AA=="}, "n": 2},
    ]
    server.answers[f"{model}:predict"] = 200, {"predictions": predictions}
    client = ServingClient(server.address)
    inputs = {"tag": ["a", b"\xff"], "x": [[1, 2], [3, 4]]}
    found = client.predict("m", inputs, rows=True)
    assert found["image_bytes"].tolist() == [b"\x00\xff", b"\x00"]
    assert found["n"].tolist() == [1, 2]
    assert server.requests[-1][1]["instances"] == [
        {"tag": "a", "x": [1, 2]},
        {"tag": {"b64": "/w=="}, "x": [3, 4]},
    ]
    with pytest.raises(ValueError, match="same number of examples"):
        client.predict("m", {**inputs, "tag": ["a"]}, rows=True)


def test_v1_without_metadata_gets_what_is_passed(server):
    path = "/v1/models/m:predict"
    server.answers[path] = 200, {"predictions": [[1, 2.5]]}
    client = ServingClient(server.address)
    for value in ([[1, 2]], np.float32([[1, 2]])):
        found = client.predict("m", {"x": value})
        np.testing.assert_array_equal(found["predictions"], [[1, 2.5]])
        assert server.requests[-1] == (path, {"instances": [[1, 2]]})
    # The metadata were requested once.
    assert len(server.requests) == 3
    server.answers[path] = 200, {"predictions": [{"n": 1, "s": "ä"}]}
    found = client.predict("m", {"x": [b"\xff"], "y": ["a"]})
    assert found["n"].tolist() == [1] and found["s"].tolist() == ["ä"]
    row = {"x": {"b64": "/w=="}, "y": "a"}
    assert server.requests[-1][1] == {"instances": [row]}


@pytest.mark.parametrize(
    "predictions",
    [None, 1, {}, "x", [[1], [1, 2]], [{"y": 1}, {"z": 1}], [None], []],
)
def test_invalid_responses_without_metadata(server, predictions):
    server.answers["/v1/models/m:predict"] = 200, {"predictions": predictions}
    with pytest.raises(ServingError, match="Received"):
        ServingClient(server.address).predict("m", {"x": [1]})


@pytest.mark.parametrize(
    "inputs",
    [None, {}, [1], {"x": 1}, {"x": []}, {"x": [[1], [1, 2]]}, {"x": [1j]}],
)
@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_invalid_inputs_without_metadata(server, protocol, inputs):
    client = ServingClient(server.address, protocol=protocol)
    with pytest.raises(ValueError, match="Received"):
        client.predict("m", inputs)
    # They are not sent.
    assert [body for _, body in server.requests] == [None]


def test_unknown_model(server):
    for protocol in ("v1", "v2"):
        client = ServingClient(server.address, protocol=protocol)
        with pytest.raises(ServingError, match="Not Found") as raised:
            client.predict("m", {"x": [1]})
        assert raised.value.status == 404


def test_kserve_v1_status(server):
    client = ServingClient(server.address)
    for is_ready, state in ((True, "AVAILABLE"), (False, "LOADING")):
        server.answers["/v1/models/m"] = 200, {"name": "m", "ready": is_ready}
        assert client.status("m") == {1: state}


V2_METADATA = {
    "name": "m",
    "versions": ["1", "3"],
    "platform": "onnxruntime_onnx",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "tag", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ],
}
V2_OUTPUTS = [
    {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4.5]},
    {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["ä", "b"]},
]


@pytest.mark.parametrize("has_metadata", [True, False])
@pytest.mark.parametrize("version", [None, 3])
def test_v2(server, has_metadata, version):
    model = "/v2/models/m" + (f"/versions/{version}" if version else "")
    metadata = V2_METADATA if has_metadata else {**V2_METADATA, "inputs": []}
    server.answers[model] = 200, metadata
    server.answers[f"{model}/infer"] = 200, {"outputs": V2_OUTPUTS}
    client = ServingClient(server.address, protocol="v2")
    inputs = {"x": np.float32([[1, 2], [3, 4]]), "tag": ["c", b"d"]}
    found = client.predict("m", inputs, version=version)
    assert list(found) == ["y", "label"] and found["y"].dtype == np.float32
    np.testing.assert_array_equal(found["y"], [[1, 2], [3, 4.5]])
    assert found["label"].tolist() == ["ä", "b"]
    assert server.requests[-1] == (
        f"{model}/infer",
        {
            "inputs": [
                {
                    **{"name": "x", "datatype": "FP32", "shape": [2, 2]},
                    "data": [1.0, 2.0, 3.0, 4.0],
                },
                {
                    **{"name": "tag", "datatype": "BYTES", "shape": [2]},
                    "data": ["c", "d"],
                },
            ]
        },
    )


def test_v2_metadata_and_status(server):
    client = ServingClient(server.address, protocol="v2")
    model = "/v2/models/m"
    server.answers[model] = 200, V2_METADATA
    # Triton's answers about health are empty.
    server.answers[f"{model}/versions/1/ready"] = 200, None
    server.answers[f"{model}/versions/3/ready"] = 400, None
    assert client.status("m") == {1: "AVAILABLE", 3: "LOADING"}
    assert client.status("m", version=1) == {1: "AVAILABLE"}
    assert client.metadata("m")["serving_default"] == {
        "inputs": {
            "x": {"dtype": "float32", "shape": [None, 2]},
            "tag": {"dtype": "string", "shape": [None]},
        },
        "outputs": {
            "y": {"dtype": "float32", "shape": [None, 2]},
            "label": {"dtype": "string", "shape": [None]},
        },
    }
    server.answers[model] = 200, {**V2_METADATA, "versions": None}
    server.answers[f"{model}/ready"] = 200, {"name": "m", "ready": True}
    assert client.status("m") == {1: "AVAILABLE"}


@pytest.mark.parametrize(
    "change",
    [
        {"datatype": "BF16"},
        {"shape": [3, 2]},
        {"shape": [4]},
        {"data": [1, 2, 3, None]},
        {"data": None},
        {"datatype": "UINT8", "data": [1, 2, 3, 300]},
        {"name": "z"},
        {"name": None},
    ],
)
def test_invalid_v2_responses(server, change):
    server.answers["/v2/models/m"] = 200, V2_METADATA
    outputs = [{**V2_OUTPUTS[0], **change}, V2_OUTPUTS[1]]
    server.answers["/v2/models/m/infer"] = 200, {"outputs": outputs}
    client = ServingClient(server.address, protocol="v2")
    with pytest.raises(ServingError, match="Received"):
        client.predict("m", {"x": [[1, 2]], "tag": ["c"]})


def test_what_v2_does_not_have(server):
    server.answers["/v2/models/m"] = 200, V2_METADATA
    client = ServingClient(server.address, protocol="v2")
    inputs = {"x": [[1, 2]], "tag": ["c"]}
    for arguments in ({"label": "stable"}, {"signature": "other"}):
        with pytest.raises((ValueError, ServingError), match="Received"):
            client.predict("m", inputs, **arguments)
    with pytest.raises(ValueError, match="rows=True for V2"):
        client.predict("m", inputs, rows=True)
    with pytest.raises(ValueError, match="not UTF-8"):
        client.predict("m", {**inputs, "tag": [b"\xff"]})
    with pytest.raises(ValueError, match="neither signatures nor labels"):
        client.status("m", label="stable")
    for protocol, address in (("v3", "http://x"), ("v2", "grpc://x")):
        with pytest.raises(ValueError, match=f"protocol='{protocol}'"):
            ServingClient(address, protocol=protocol)
