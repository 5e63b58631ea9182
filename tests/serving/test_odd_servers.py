"""Errors of the client for malformed responses and invalid arguments."""

import json
import socket
import threading
import time
import urllib.parse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError
from keras_coordconv.serving.client import rest

SERVED = "http://served:8501"


def spec(dtype, *sizes):
    dims = [{"size": f"{size}"} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims}}


def metadata(inputs, outputs):
    definitions = {"serving_default": {"inputs": inputs, "outputs": outputs}}
    return {"metadata": {"signature_def": {"signature_def": definitions}}}


def canned(monkeypatch, answers):
    """Make a client that gets canned responses, by the suffix of the URL.

    Returns the client and the list of its requests.
    """
    sent = []

    def send(self, url, body, deadline):
        sent.append((url, body))
        ending = max((e for e in answers if url.endswith(e)), key=len)
        content = answers[ending]
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        return 200, content

    monkeypatch.setattr(rest.RestTransport, "_send", send)
    return ServingClient(SERVED, retries=0), sent


def is_one_clear_line(error):
    text = str(error)
    return text.isprintable() and "Received" in text and len(text) < 1500


OTHER_ANSWERS = [
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b'{"model_version_status": [{"version',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"1" * 5000,
    b"null",
    b"3",
    b'"text"',
    b"[]",
    b"{}",
    b'{"model_version_status": null}',
    b'{"model_version_status": {"version": "1"}}',
    b'{"model_version_status": [null]}',
    b'{"model_version_status": [{"version": "one", "state": "AVAILABLE"}]}',
    b'{"model_version_status": [{"state": "AVAILABLE"}]}',
    b'{"metadata": {"signature_def": []}}',
    b'{"metadata": {"signature_def": {"signature_def": {"a": 3}}}}',
    b'{"metadata": {"signature_def": {"signature_def": {"a": {"inputs": '
    b'{"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "x"}]}'
    b"}}}}}}}",
    b'{"metadata": {"signature_def": {"signature_def": {"a": {"inputs": '
    b'{"x": {}}}}}}}',
]


@pytest.mark.parametrize("content", OTHER_ANSWERS, ids=lambda c: c[:60])
@pytest.mark.parametrize("method", ["status", "metadata"])
def test_responses_of_other_servers(monkeypatch, content, method):
    client, _ = canned(monkeypatch, {"": content})
    with pytest.raises(ServingError) as raised:
        getattr(client, method)("photos")
    assert is_one_clear_line(raised.value)


# `y` is float32 of shape (None, 2), `n` uint8 of shape (None,), `s` a string of
# any shape, `image_bytes` a string of shape (None,).
OUTPUTS = {
    "y": spec("DT_FLOAT", -1, 2),
    "n": spec("DT_UINT8", -1),
    "s": {"dtype": "DT_STRING", "tensor_shape": {"unknown_rank": True}},
    "image_bytes": spec("DT_STRING", -1),
}
ANSWER = {
    "y": [[1, 2.5]],
    "n": [7],
    "s": ["ä"],
    "image_bytes": [{"b64": "AP8="}],
}


def predict(monkeypatch, outputs):
    client, _ = canned(
        monkeypatch,
        {
            "/metadata": metadata({"x": spec("DT_FLOAT", -1)}, OUTPUTS),
            ":predict": {"outputs": outputs},
        },
    )
    return client.predict("photos", {"x": [1.0]})


def test_valid_response(monkeypatch):
    found = predict(monkeypatch, ANSWER)
    np.testing.assert_array_equal(found["y"], np.float32([[1, 2.5]]))
    assert found["y"].dtype == np.float32 and found["n"].dtype == np.uint8
    assert found["s"].tolist() == ["ä"]
    assert found["image_bytes"].tolist() == [b"\x00\xff"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("y", None),
        ("y", []),
        ("y", [[1, None]]),
        ("y", [[1, 2], [3]]),
        ("y", [1, 2]),
        ("y", [[1, 2, 3]]),
        ("y", [["1", "2"]]),
        ("y", [[1, 1e300]]),
        ("y", {"b64": "AP8="}),
        ("n", [300]),
        ("n", [-1]),
        ("n", [1.0]),
        ("n", [2**70]),
        ("n", [True, 2**40]),
        ("s", [None]),
        ("s", [3]),
        ("s", [["a"], ["b", "c"]]),
        ("s", [{"b64": "AP8="}]),
        ("s", [{"b64": "?"}]),
        ("s", [{"b64": 3}]),
        ("s", [{"text": "a"}]),
        ("s", "no batch"),
    ],
)
def test_wrong_outputs(monkeypatch, name, value):
    with pytest.raises(ServingError) as raised:
        predict(monkeypatch, ANSWER | {name: value})
    assert is_one_clear_line(raised.value) and repr(name) in str(raised.value)


@pytest.mark.parametrize(
    "outputs", [None, 3, [], {}, {"y": [[1, 2]]}, [[1, 2]]]
)
def test_missing_outputs(monkeypatch, outputs):
    with pytest.raises(ServingError) as raised:
        predict(monkeypatch, outputs)
    assert is_one_clear_line(raised.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.just({"b64": "AP8="}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*OUTPUTS, "b64"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {name: JSON | st.just(ANSWER[name]) for name in OUTPUTS}
    )
)
@settings(max_examples=100, deadline=None)
def test_random_responses(outputs):
    with pytest.MonkeyPatch.context() as monkeypatch:
        try:
            found = predict(monkeypatch, outputs)
        except ServingError as error:
            assert is_one_clear_line(error)
            return
    for name, value in found.items():
        if name in ("y", "n"):
            np.testing.assert_allclose(
                value, np.array(outputs[name], "float64"), rtol=1e-6
            )
        else:
            wanted = bytes if name == "image_bytes" else str
            assert all(isinstance(item, wanted) for item in value.flat)


DTYPES = [
    *("DT_FLOAT", "DT_HALF", "DT_INT32", "DT_UINT8", "DT_INT64", "DT_BOOL"),
    *("DT_STRING", "DT_BFLOAT16"),
]


def send(monkeypatch, dtype, value, *sizes):
    """Return what the client sends for an input of this dtype and shape."""
    sizes = sizes or (-1,)
    client, sent = canned(
        monkeypatch,
        {
            "/metadata": metadata(
                {"x": spec(dtype, *sizes)}, {"y": spec("DT_FLOAT", -1)}
            ),
            ":predict": {"outputs": [1.0]},
        },
    )
    try:
        client.predict("photos", {"x": value})
    finally:
        bodies = [body for _, body in sent if body]
    return bodies[0]["inputs"]["x"]


@pytest.mark.parametrize(
    ("dtype", "value", "sent"),
    [
        ("DT_INT32", [2**31 - 1, -(2**31)], [2147483647, -2147483648]),
        ("DT_INT64", np.uint64([2**63 - 1]), [2**63 - 1]),
        ("DT_UINT8", [0, 255], [0, 255]),
        ("DT_UINT8", np.int64([255]), [255]),
        ("DT_FLOAT", [0.1], [np.float32(0.1).item()]),
        ("DT_FLOAT", [255, 2**24], [255.0, 16777216.0]),
        ("DT_FLOAT", [np.inf, -np.inf], [np.inf, -np.inf]),
        ("DT_FLOAT", [True], [1.0]),
        ("DT_HALF", [65504.0], [65504.0]),
        ("DT_BOOL", [True, False], [True, False]),
        ("DT_STRING", ["a"], ["a"]),
        ("DT_STRING", [b"a", "b"], [{"b64": "YQ=="}, "b"]),
        ("DT_STRING", np.array([b"\x00a"]), [{"b64": "AGE="}]),
    ],
)
def test_representable_values(monkeypatch, dtype, value, sent):
    assert send(monkeypatch, dtype, value) == sent


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (
            "DT_INT32",
            [2**40],
            "values that fit in int32. Received: 1099511627776",
        ),
        ("DT_INT32", [2**70], "convertible to int32"),
        ("DT_INT64", np.uint64([2**63]), "values that fit in int64"),
        ("DT_INT32", [1.0], "convertible to int32"),
        ("DT_UINT8", [300], "values that fit in uint8. Received: 300"),
        ("DT_UINT8", [1, -1], "values that fit in uint8. Received: -1"),
        (
            "DT_FLOAT",
            [1e300],
            "values that fit in float32. Received: 1e+300",
        ),
        ("DT_FLOAT", [2**24 + 1], "values that fit in float32"),
        ("DT_HALF", [70000.0], "values that fit in float16"),
        ("DT_HALF", [70000], "values that fit in float16"),
        ("DT_FLOAT", [None], "convertible to float32"),
        ("DT_FLOAT", ["1"], "convertible to float32"),
        ("DT_FLOAT", [1j], "convertible to float32"),
        ("DT_FLOAT", {1.0}, "convertible to float32"),
        ("DT_FLOAT", np.datetime64("2020-01-01"), "convertible to float32"),
        ("DT_FLOAT", np.ma.array([1.0], mask=[True]), "must not be masked"),
        ("DT_FLOAT", [[1.0], [1.0, 2.0]], "lists of equal lengths"),
        ("DT_FLOAT", 1.0, "must have shape [None]"),
        ("DT_FLOAT", [[1.0]], "must have shape [None]"),
        ("DT_FLOAT", [], "must not be empty"),
        ("DT_BOOL", [1], "convertible to bool"),
        ("DT_STRING", [1], "only strings or bytes"),
        ("DT_STRING", [None], "only strings or bytes"),
        ("DT_STRING", [["a"]], "must have shape [None]"),
        ("DT_STRING", "a", "must have shape [None]"),
        ("DT_STRING", [], "must not be empty"),
        ("DT_BFLOAT16", [1.0], "a dtype that NumPy does not support"),
    ],
)
def test_values_that_are_not_representable(monkeypatch, dtype, value, message):
    with pytest.raises(ValueError) as raised:
        send(monkeypatch, dtype, value)
    assert message in str(raised.value) and is_one_clear_line(raised.value)


@given(
    st.sampled_from(
        ["DT_FLOAT", "DT_HALF", "DT_INT32", "DT_UINT8", "DT_INT64"]
    ),
    st.lists(
        st.integers(-(2**66), 2**66) | st.floats(), min_size=1, max_size=3
    ),
)
@settings(max_examples=200, deadline=None)
def test_random_numbers_are_sent_or_raise(dtype, value):
    with pytest.MonkeyPatch.context() as monkeypatch:
        try:
            sent = send(monkeypatch, dtype, value)
        except ValueError as error:
            assert is_one_clear_line(error)
            return
    eps = 2**-10 if dtype == "DT_HALF" else 2**-23
    tiny = 2.0**-24 if dtype == "DT_HALF" else 2.0**-149
    np.testing.assert_allclose(
        np.array(sent, "float64"), np.array(value, "float64"), eps, tiny
    )


@pytest.mark.parametrize(
    "inputs",
    [None, [1.0], "x", {}, {"z": [1.0]}, {"x": [1.0], "z": [1.0]}, {1: 2}],
)
def test_wrong_inputs(monkeypatch, inputs):
    client, sent = canned(
        monkeypatch,
        {
            "": metadata(
                {"x": spec("DT_FLOAT", -1)}, {"y": spec("DT_FLOAT", -1)}
            )
        },
    )
    with pytest.raises(ValueError, match=r"the signature's inputs: \['x'\]"):
        client.predict("photos", inputs)
    assert [body for _, body in sent] == [None]


def test_new_version_with_other_inputs(monkeypatch):
    """The client updates a cached signature that is out of date."""
    answers = {
        "/metadata": metadata(
            {"x": spec("DT_FLOAT", -1)}, {"y": spec("DT_FLOAT", -1)}
        ),
        ":predict": {"outputs": [1.0]},
    }
    client, _ = canned(monkeypatch, answers)
    client.predict("photos", {"x": [1.0]})
    answers["/metadata"] = metadata(
        {"z": spec("DT_FLOAT", -1)}, {"y": spec("DT_FLOAT", -1)}
    )
    assert client.predict("photos", {"z": [1.0]})["y"] == 1.0


@pytest.mark.parametrize(
    "name", ["../../etc", "m/versions/9", "a b?c#d", "m%2e", "ä", "m:predict"]
)
def test_names_are_quoted_in_the_url(monkeypatch, name):
    answer = {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}
    client, sent = canned(monkeypatch, {"": answer})
    client.status(name, label=name)
    quoted = urllib.parse.quote(name, safe="")
    assert sent[0][0] == f"{SERVED}/v1/models/{quoted}/labels/{quoted}"


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": ""},
        {"model": ".."},
        {"model": "."},
        {"model": None},
        {"model": 3},
        {"model": b"m"},
        {"model": "m\r\nHost: x"},
        {"model": "\udcff"},
        {"version": "1"},
        {"version": 1.0},
        {"version": True},
        {"version": -1},
        {"version": 2**63},
        {"version": "1/../2"},
        {"label": ""},
        {"label": ".."},
        {"label": 1},
        {"label": "stable", "version": 1},
    ],
)
def test_invalid_names_and_versions(monkeypatch, arguments):
    client, sent = canned(monkeypatch, {"": {}})
    for method in (client.status, client.metadata):
        with pytest.raises(ValueError) as raised:
            method(**({"model": "m"} | arguments))
        assert is_one_clear_line(raised.value)
    with pytest.raises(ValueError):
        client.predict(**({"model": "m", "inputs": {}} | arguments))
    assert not sent


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            {"timeout": t}
            for t in (0, -1, np.inf, np.nan, "5", None, True, 1e300)
        ),
        *({"retries": r} for r in (-1, 1.0, "1", None, True)),
        *(
            {"max_response_bytes": size}
            for size in (0, -1, 1e6, "1", None, True, 2**31)
        ),
    ],
    ids=str,
)
def test_invalid_settings(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"Received: {name}="):
        ServingClient(SERVED, **arguments)


@pytest.mark.parametrize(
    "address",
    [
        "localhost:8501",
        "ftp://user:secret@x",
        "http://",
        "http://user:secret@",
        "http://user:secret@host:port",
        "http://user:secret@host:99999",
        "http://user:secret@[::1",
        "http://user:secret@host/?key=1",
        "http://user:secret@ho st",
        "http://user:secret@host/\n",
        "http://user:se/cr@et@host:port",
        "grpc://user:secret@host:8500",
        "grpc://",
        "",
        None,
        8501,
    ],
)
def test_invalid_addresses(address):
    with pytest.raises(ValueError, match="Received: address=") as raised:
        ServingClient(address)
    assert is_one_clear_line(raised.value)
    assert "secret" not in str(raised.value) and "et@" not in str(raised.value)
    assert raised.value.__suppress_context__ or not raised.value.__context__


class Server:
    """Sends the same parts to each connection, with pauses between them."""

    def __init__(self, *parts, pause=0.0):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.parts, self.pause = parts, pause
        self.requests = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
                with connection:
                    self.requests.append(connection.recv(65536))
                    for part in self.parts:
                        connection.sendall(part)
                        time.sleep(self.pause)
            except OSError:
                if self.socket.fileno() < 0:
                    return

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.shutdown(socket.SHUT_RDWR)  # Wakes up `accept`.
        self.socket.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"Content-Length: 100\r\n\r\n{}",
        HEAD + b"Content-Length: many\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        HEAD + b"X: y\r\n" * 200 + b"\r\n{}",
        HEAD + b"X: " + 70_000 * b"y" + b"\r\n\r\n{}",
        HEAD + b"\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n<html>\x1b[31mno\r\nsuch</html>",
        b'HTTP/1.1 404 Not Found\r\n\r\n{"error": "no\\n\\u001b[31m such"}',
        b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": 3}',
        b"HTTP/1.1 500 Error\r\n\r\n" + 1_000_000 * b"x",
    ],
    ids=lambda content: content[:50],
)
def test_broken_responses(content):
    with Server(content) as server:
        client = ServingClient(f"http://{server.address}", 5, retries=0)
        with pytest.raises(ServingError) as raised:
            client.status("photos")
    text = str(raised.value)
    assert text.isprintable() and len(text) < 1500 and server.address in text


def test_redirects_are_not_followed():
    with Server(HEAD + b"\r\n{}") as other:
        moved = f"Location: http://{other.address}/\r\n\r\n".encode()
        with Server(b"HTTP/1.1 302 Found\r\n" + moved) as server:
            client = ServingClient(f"http://{server.address}", retries=0)
            with pytest.raises(
                ServingError, match="returned status 302"
            ) as raised:
                client.status("photos")
            assert raised.value.status == 302
        assert not other.requests


@pytest.mark.parametrize("head", [b"", HEAD + b"Content-Length: 1000\r\n\r\n"])
def test_timeout_applies_to_the_whole_request(head):
    drops = [b"H"] * 1000 if not head else [head, *[b" "] * 1000]
    with Server(*drops, pause=0.05) as server:
        client = ServingClient(f"http://{server.address}", timeout=0.5)
        start = time.monotonic()
        with pytest.raises(ServingError, match=r"within 0\.5 s"):
            client.status("photos")
        assert time.monotonic() - start < 2


NUMBERS = b"[" + b"0.12345678," * 3_000_000 + b"0]"


@pytest.mark.parametrize(
    "content",
    [
        NUMBERS,
        b"[" + b"1," * 10_000_000 + b"0]",
        b"[" + b'{"b64":""},' * 2_000_000 + b"0]",
    ],
    ids=["floats", "integers", "bytes"],
)
def test_timeout_includes_parsing(monkeypatch, content):
    client, _ = canned(monkeypatch, {"": b'{"metadata":' + content + b"}"})
    monkeypatch.setattr(client._transport, "_timeout", 0.1)
    start = time.monotonic()
    with pytest.raises(ServingError, match=r"within 0\.1 s"):
        client.metadata("photos")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "head",
    [
        HEAD + f"Content-Length: {len(NUMBERS)}\r\n\r\n".encode(),
        HEAD + b"\r\n",
        HEAD
        + f"Transfer-Encoding: chunked\r\n\r\n{len(NUMBERS):x}\r\n".encode(),
    ],
    ids=["of known length", "of unknown length", "chunked"],
)
def test_largest_response(head):
    with Server(head, NUMBERS) as server:
        client = ServingClient(
            f"http://{server.address}", max_response_bytes=10_000_000
        )
        with pytest.raises(
            ServingError, match="larger than 10000000 bytes"
        ) as raised:
            client.status("photos")
        assert len(server.requests) == 1
    assert not raised.value.unavailable


def test_response_of_the_largest_size():
    content = b'{"model_version_status": []}'
    with Server(HEAD + b"\r\n", content) as server:
        sizes = len(content) - 1, len(content)
        small, large = (
            ServingClient(f"http://{server.address}", max_response_bytes=size)
            for size in sizes
        )
        assert large.status("photos") == {}
        with pytest.raises(ServingError, match="larger than 27 bytes"):
            small.status("photos")


@pytest.mark.parametrize(
    "content",
    [
        lambda text: json.dumps({"error": text}),
        lambda text: json.dumps({"error": [text]}),
        lambda text: json.dumps([text]),
        lambda text: text,
    ],
)
@pytest.mark.parametrize("text", ["x", " ", "\0", "ä\n"])
@pytest.mark.parametrize("status", [200, 400])
def test_long_errors_are_cut_before_they_are_cleaned(
    monkeypatch, content, text, status
):
    """Cleaning 10 MB would take 3 s; 500 characters are shown."""
    sent = content(text * (10_000_000 // len(text))).encode()
    monkeypatch.setattr(
        rest.RestTransport, "_send", lambda *arguments: (status, sent)
    )
    start = time.monotonic()
    with pytest.raises(ServingError) as raised:
        ServingClient(SERVED, retries=0).status("photos")
    assert time.monotonic() - start < 2
    shown = str(raised.value)
    assert shown.isprintable() and len(shown) < 1200


def test_only_the_beginning_of_an_error_is_read():
    head = b"HTTP/1.1 500 Error\r\n\r\n"
    with Server(head + b"out of memory", *[b"x" * 1_000_000] * 200) as server:
        client = ServingClient(f"http://{server.address}", 5, retries=0)
        with pytest.raises(
            ServingError, match=r"500 .* out of memoryx"
        ) as raised:
            client.status("photos")
    assert raised.value.status == 500


LONG = 3_000_000 * "x"


@pytest.mark.parametrize(
    ("inputs", "outputs", "answer"),
    [
        ({LONG: spec("DT_FLOAT", -1)}, {"y": spec("DT_FLOAT", -1)}, [1.0]),
        ({"x": spec(LONG, -1)}, {"y": spec("DT_FLOAT", -1)}, [1.0]),
        (
            {"x": spec("DT_FLOAT", *range(300_000))},
            {"y": spec("DT_FLOAT", -1)},
            [1.0],
        ),
        ({"x": spec("DT_FLOAT", -1)}, {LONG: spec("DT_FLOAT", -1)}, "no"),
        ({"x": spec("DT_FLOAT", -1)}, {LONG: spec(LONG, -1)}, [1.0]),
        ({"x": spec("DT_FLOAT", -1)}, {"y": spec("DT_STRING", -1)}, [[LONG]]),
        ({"x": spec("DT_FLOAT", -1)}, {"y": spec("DT_STRING", -1)}, {LONG: 1}),
        (
            {"x": spec("DT_FLOAT", -1)},
            {"y": spec("DT_FLOAT", -1), "z": spec("DT_FLOAT", -1)},
            {LONG: [1.0]},
        ),
    ],
)
def test_long_names_of_a_server(monkeypatch, inputs, outputs, answer):
    client, _ = canned(
        monkeypatch,
        {
            "/metadata": metadata(inputs, outputs),
            ":predict": {"outputs": answer},
        },
    )
    with pytest.raises((ValueError, ServingError)) as raised:
        client.predict("photos", {"x": [1.0]})
    assert is_one_clear_line(raised.value)
    with pytest.raises(ServingError) as raised:
        client.predict("photos", {"x": [1.0]}, signature="no")
    assert is_one_clear_line(raised.value)


def test_login(monkeypatch):
    content = b'{"model_version_status": []}'
    with Server(HEAD + b"\r\n" + content) as server:
        client = ServingClient(
            f"http://user:s%40cret@{server.address}", retries=0
        )
        assert client.status("photos") == {}
        assert b"Basic dXNlcjpzQGNyZXQ=" in server.requests[0]
    with pytest.raises(ServingError, match="No valid response") as raised:
        client.status("photos")
    assert "cret" not in str(raised.value)
