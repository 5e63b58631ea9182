"""Client of TensorFlow Serving's REST API, with Python's HTTP client."""

import base64
import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from keras_coordconv.serving.client.errors import MALFORMED_RESPONSE
from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.errors import plain
from keras_coordconv.serving.client.tensors import signature_table

_PART_BYTES = 1_000_000
# Maximum number of bytes to read of the response to a failed request.
_MAX_ERROR_BYTES = 100_000


class RestTransport:
    _root = "v1/models"

    def __init__(self, parts, timeout, max_response_bytes):
        user, _, host = parts.netloc.rpartition("@")
        self._address = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._headers = {"Content-Type": "application/json"}
        if user:
            login = base64.b64encode(urllib.parse.unquote(user).encode())
            self._headers["Authorization"] = f"Basic {login.decode()}"
        self._timeout = timeout
        self._max_bytes = max_response_bytes

    def predict(self, key, signature, arrays, table, rows):
        inputs = {name: _jsonable(x) for name, x in arrays.items()}
        # Servers without metadata do not know signatures either.
        body = {"signature_name": signature} if table else {}
        rows = rows or not table
        if rows:
            body["instances"] = _to_rows(inputs)
        else:
            body["inputs"] = inputs

        def read(answer):
            outputs = answer["predictions" if rows else "outputs"]
            # The server omits the name if there is only one output.
            if table and len(table["outputs"]) == 1:
                return dict.fromkeys(table["outputs"], outputs)
            return _to_columns(outputs) if rows else {**outputs}

        return self._request(key, ":predict", read, body)

    def metadata(self, key):
        return self._request(
            key,
            "/metadata",
            lambda answer: signature_table(
                answer["metadata"]["signature_def"]["signature_def"]
            ),
        )

    def status(self, key):
        return self._request(key, "", _read_status)

    def close(self):
        pass

    def _request(self, key, ending, read, body=None):
        """Send a request and parse the JSON response with `read`."""
        model, version, label = key
        url = f"{self._address}/{self._root}/{_quote(model)}"
        if label is not None:
            url += f"/labels/{_quote(label)}"
        elif version is not None:
            url += f"/versions/{version}"
        url += ending
        deadline = time.monotonic() + self._timeout
        status, content = self._send(url, body, deadline)
        try:
            # V2's answers about health may be empty.
            answer = _parse(content or b"null", deadline)
            if status == 200:
                return read(answer)
            text = answer["error"]
        except TimeoutError as error:
            raise self._late(url) from error
        except MALFORMED_RESPONSE:
            text = content[:_MAX_ERROR_BYTES].decode(errors="replace")
        if status == 200:
            raise ServingError(
                f"{url} did not return a valid response of this protocol. "
                f"Received: {plain(text)!r}"
            )
        raise ServingError(
            f"The server returned status {status} for {url}: {plain(text)}",
            status=status,
            unavailable=status == 503,
        )

    def _send(self, url, body, deadline):
        """Send a request and return the status and content of the response.

        This runs in a thread, since the timeout of a socket applies to each
        part of a response, and a response may arrive in many parts.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers)
        answers = queue.SimpleQueue()

        def send():
            opener = urllib.request.build_opener(_NoRedirect)
            try:
                try:
                    response = opener.open(request, timeout=self._timeout)
                except urllib.error.HTTPError as error:
                    response = error
                with response:
                    answers.put(
                        (response.status, self._read(response, deadline))
                    )
            except Exception as error:
                answers.put(error)

        threading.Thread(target=send, daemon=True).start()
        try:
            answer = answers.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            answer = TimeoutError()
        if isinstance(answer, tuple):
            return answer
        if isinstance(answer, _TooLongError):
            raise ServingError(
                f"The response from {url} is larger than {self._max_bytes} "
                "bytes. Request less, or increase `max_response_bytes`."
            )
        reason = getattr(answer, "reason", answer)
        if isinstance(reason, TimeoutError):
            raise self._late(url) from answer
        raise ServingError(
            f"No valid response from {url}: {plain(reason or repr(answer))}",
            unavailable=True,
        ) from answer

    def _read(self, response, deadline):
        """Read the content of a response, or the beginning of an error's."""
        content = bytearray()
        while part := response.read(_PART_BYTES):
            content += part
            if response.status != 200 and len(content) > _MAX_ERROR_BYTES:
                break
            if len(content) > self._max_bytes:
                raise _TooLongError
            _check_time(deadline)
        else:
            if response.length:  # The response is incomplete.
                raise http.client.IncompleteRead(content, response.length)
        return content

    def _late(self, url):
        return ServingError(
            f"No complete response from {url} within {self._timeout} s. "
            "Increase `timeout`."
        )


def _read_status(answer):
    if "ready" in answer:  # KServe, which has no versions.
        return {1: "AVAILABLE" if answer["ready"] is True else "LOADING"}
    return {
        int(item["version"]): f"{item['state']}"
        for item in answer["model_version_status"]
    }


def _to_rows(columns):
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "In rows, all inputs must have the same number of examples. "
            f"Received: {sizes}"
        )
    if len(columns) == 1:
        (rows,) = columns.values()
        return rows
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _to_columns(rows):
    if not isinstance(rows, list):
        raise ValueError("not a list")
    if not rows or not isinstance(rows[0], dict) or set(rows[0]) == {"b64"}:
        return {"predictions": rows}
    return {name: [row[name] for row in rows] for name in rows[0]}


class _TooLongError(Exception):
    pass


def _check_time(deadline):
    if time.monotonic() > deadline:
        raise TimeoutError


def _parse(content, deadline):
    """Parse JSON, and raise a `TimeoutError` after the deadline."""

    def timed(convert):
        def call(value):
            _check_time(deadline)
            return convert(value)

        return call

    # The parser itself cannot be interrupted.
    return json.loads(
        content,
        parse_float=timed(float),
        parse_int=timed(int),
        object_hook=timed(lambda value: value),
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None  # Raises an `HTTPError` with the status.


def _quote(name):
    return urllib.parse.quote(name, safe="")


def _jsonable(array):
    if array.dtype != object:
        return array.tolist()
    return _encode(array.tolist())


def _encode(value):
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, str):
        return value
    return {"b64": base64.b64encode(value).decode()}
