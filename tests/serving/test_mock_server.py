"""The mock server's REST API is the one of TensorFlow Serving's REST page."""

import json
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    import tensorflow as tf
    from serving import mock_server

    def save(name, function, **inputs):
        specs = {
            key: tf.TensorSpec(shape, dtype, key)
            for key, (dtype, shape) in inputs.items()
        }
        module = tf.Module()
        module.function = tf.function(function)
        tf.saved_model.save(
            module,
            str(folder / name / "123"),
            module.function.get_concrete_function(**specs),
        )

    folder = tmp_path_factory.mktemp("models")
    save("half_plus_three", lambda x: {"y": x / 2 + 3}, x=("float32", [None]))
    save(
        "sensors",
        lambda tag, signal, sensor: {
            "tag": tf.strings.join([tag, "!"]),
            "sum": tf.reduce_sum(signal, -1),
            "half": sensor / 2,
        },
        tag=("string", [None]),
        signal=("int32", [None, 5]),
        sensor=("float32", [None, 2, 2]),
    )
    save(
        "files",
        lambda image_bytes: {
            "length": tf.strings.length(image_bytes),
            "image_bytes": image_bytes,
        },
        image_bytes=("string", [None]),
    )
    save(
        "sizes",
        lambda x: {"x": x, "count": tf.size(x)[None]},
        x=("float32", [None]),
    )
    server = mock_server.MockServer(folder)
    yield server.rest
    server.stop()


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_status(address):
    status = {"error_code": "OK", "error_message": ""}
    versions = [{"version": "123", "state": "AVAILABLE", "status": status}]
    for ending in ("", "/versions/123"):
        assert call(f"{address}/v1/models/half_plus_three{ending}") == (
            200,
            {"model_version_status": versions},
        )


# The requests of the page, and their columnar forms.
ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
SENSORS = [
    {"tag": "foo!", "sum": 15, "half": [[0.5, 1.0], [1.5, 2.0]]},
    {"tag": "bar!", "sum": 15, "half": [[2.0, 2.5], [3.0, 4.0]]},
]
FILES = [{"b64": "AP8="}, {"b64": "aW1hZ2UgYnl0ZXM="}]
LENGTHS = [
    {"length": 2, "image_bytes": FILES[0]},
    {"length": 11, "image_bytes": FILES[1]},
]


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(
    ("model", "request_body", "answer"),
    [
        (
            "half_plus_three",
            {"instances": [1.0, 2.0, 5]},
            {"predictions": [3.5, 4.0, 5.5]},
        ),
        (
            "half_plus_three",
            {"instances": [{"x": 1}, {"x": 2}]},
            {"predictions": [3.5, 4.0]},
        ),
        ("half_plus_three", {"inputs": [1.0]}, {"outputs": [3.5]}),
        ("half_plus_three", {"inputs": {"x": [1.0]}}, {"outputs": [3.5]}),
        ("sensors", {"instances": ROWS}, {"predictions": SENSORS}),
        ("sensors", {"inputs": columns(ROWS)}, {"outputs": columns(SENSORS)}),
        ("files", {"instances": FILES}, {"predictions": LENGTHS}),
        (
            "files",
            {"instances": [{"image_bytes": file} for file in FILES]},
            {"predictions": LENGTHS},
        ),
        ("files", {"inputs": FILES}, {"outputs": columns(LENGTHS)}),
        ("sizes", {"instances": [7]}, {"predictions": [{"x": 7, "count": 1}]}),
    ],
)
def test_predict(address, model, request_body, answer):
    request_body["signature_name"] = "serving_default"
    url = f"{address}/v1/models/{model}:predict"
    assert call(url, request_body) == (200, answer)


@pytest.mark.parametrize(
    ("model", "request_body"),
    [
        ("half_plus_three", {}),
        ("half_plus_three", {"instances": [1.0], "inputs": [1.0]}),
        ("half_plus_three", {"instances": []}),
        ("half_plus_three", {"instances": 1.0}),
        ("half_plus_three", {"instances": ["1.0"]}),
        ("half_plus_three", {"instances": [{"y": 1.0}]}),
        ("half_plus_three", {"instances": [{"x": 1.0}, 2.0]}),
        ("sensors", {"instances": [[1, 2], [3, 4]]}),
        ("sensors", {"instances": [ROWS[0], {"tag": "bar"}]}),
        ("sensors", {"instances": [{**ROWS[0], "signal": [1.5] * 5}]}),
        # The outputs are not of one batch size.
        ("sizes", {"instances": [1, 2]}),
    ],
)
def test_invalid_requests(address, model, request_body):
    status, answer = call(f"{address}/v1/models/{model}:predict", request_body)
    assert status == 400 and set(answer) == {"error"}
