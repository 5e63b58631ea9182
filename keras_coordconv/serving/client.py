"""A client for TensorFlow Serving: NumPy in, NumPy out, by REST or gRPC.

This file by itself needs only NumPy for REST. It uses Python's own HTTP rather
than a library so that a copy of this one file is a client. gRPC also needs
TensorFlow and tensorflow-serving-api.
"""

import base64
import contextlib
import json
import numbers
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

_DTYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_INT8": "int8",
    "DT_UINT8": "uint8",
    "DT_INT16": "int16",
    "DT_UINT16": "uint16",
    "DT_INT32": "int32",
    "DT_UINT32": "uint32",
    "DT_INT64": "int64",
    "DT_UINT64": "uint64",
    "DT_BOOL": "bool",
    "DT_STRING": "string",
}
# The server holds versions as signed integers of 64 bits.
MAX_VERSION = 2**63 - 1
# Of a text of the server in a message.
_MAX_LENGTH = 500
# Raised by reading an answer that has another form than the server's.
_MALFORMED_RESPONSE = (
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)


def signature_table(definitions):
    """What signatures take and give, in short.

    Args:
        definitions: Dictionary of TensorFlow's `SignatureDef`s by name, in the
            form that they have in JSON.

    Returns:
        Dictionary from a signature's name to `{"inputs": ..., "outputs": ...}`,
        each a dictionary by tensor name of `{"dtype": ..., "shape": ...}`. The
        dtype is one of NumPy's or `"string"`, or TensorFlow's name of another.
        `None` is a size, or a whole shape, that is not known.
    """
    return {
        name: {
            side: {
                tensor: {
                    "dtype": _DTYPES.get(info["dtype"], info["dtype"]),
                    "shape": _shape(info.get("tensor_shape", {})),
                }
                for tensor, info in definition.get(side, {}).items()
            }
            for side in ("inputs", "outputs")
        }
        for name, definition in sorted(definitions.items())
        if not name.startswith("__")
    }


class ServingError(RuntimeError):
    """What a server answered instead of a result.

    Attributes:
        status: Integer HTTP status, or string gRPC status; `None` where there
            was no answer.
        unavailable: Boolean, whether it may work a moment later.
    """

    def __init__(self, message, status=None, unavailable=False):
        super().__init__(message)
        self.status = status
        self.unavailable = unavailable


class ServingClient:
    """Asks the models of one server.

    Args:
        address: String, `"http://host:8501"`, `"https://host"` or
            `"grpc://host:8500"`. `"https://user:password@host"` logs in.
        timeout: Float, seconds that one request may take as a whole.
        retries: Integer, how often a request is sent again where the server is
            unavailable, and then only; the pauses are 0.2 s, 0.4 s, and so on.

    Raises:
        ValueError: if an argument is of another form, and from each method if
            its arguments are.
        ServingError: from each method, where the server does not answer, or
            not with a result.

    Example:

    >>> client = ServingClient("http://localhost:8501")
    >>> client.predict("rendering", {"location": [[40.0, 22.0]]})["image"].shape
    (1, 64, 64, 1)
    """

    def __init__(
        self, address: str, timeout: float = 10.0, retries: int = 3
    ) -> None:
        parts = _split_address(address)
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, numbers.Real)
            or not 0 < timeout <= threading.TIMEOUT_MAX
        ):
            raise ValueError(
                "`timeout` must be a number of seconds above 0. "
                f"Received: timeout={timeout!r}"
            )
        if not _is_integer(retries) or retries < 0:
            raise ValueError(
                "`retries` must be an integer from 0 on. "
                f"Received: retries={retries!r}"
            )
        transport = _Grpc if parts.scheme == "grpc" else _Rest
        self._transport: _Rest | _Grpc = transport(parts, timeout)
        self._retries = retries
        self._signatures: dict[tuple, Any] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
    ) -> dict[str, np.ndarray]:
        """What a model answers.

        Args:
            model: String, its name on the server.
            inputs: Dictionary of arrays, or of lists, by input name, the batch
                first. Encoded images are `bytes`.
            signature: String, the name of the signature.
            version: Integer, or `None` for the server's choice.
            label: String, the label of a version, in its place.

        Returns:
            Dictionary of `numpy` arrays by output name.

        Raises:
            ValueError: if the inputs are not those of the signature, or their
                values do not fit its dtypes.
            ServingError: if there is no such model or signature, or the server
                does not answer as the signature says.
        """
        key = _check_key(model, version, label)
        _check_name("signature", signature)
        table, arrays = self._prepare(key, signature, inputs)
        try:
            answer = self._retried(
                lambda: self._transport.predict(key, signature, arrays, table)
            )
            return {
                name: _from_answer(name, answer, spec)
                for name, spec in table["outputs"].items()
            }
        except ServingError:
            # The model may have been replaced by another.
            self._signatures.pop(key, None)
            raise

    def metadata(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """The signatures of a model.

        Returns:
            Dictionary from a signature's name to its inputs and outputs, as
            from `signature_table`.
        """
        key = _check_key(model, version, label)
        return self._retried(lambda: self._transport.metadata(key))

    def status(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> dict[int, str]:
        """The state of a model's versions.

        Returns:
            Dictionary from the version, an integer, to a string such as
            `"AVAILABLE"`.
        """
        key = _check_key(model, version, label)
        return self._retried(lambda: self._transport.status(key))

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> "ServingClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _prepare(self, key, signature, inputs):
        """The table of the signature, and the inputs as it takes them."""
        if key in self._signatures:
            # What does not fit may fit the model's next version.
            with contextlib.suppress(ServingError, ValueError):
                return _fit(key, self._signatures[key], signature, inputs)
        self._signatures[key] = self.metadata(*key)
        return _fit(key, self._signatures[key], signature, inputs)

    def _retried(self, request):
        for attempt in range(self._retries + 1):
            try:
                return request()
            except ServingError as error:
                if not error.unavailable or attempt == self._retries:
                    raise
            time.sleep(0.2 * 2**attempt)


def _split_address(address):
    try:
        parts = urllib.parse.urlsplit(address)
        good = (
            parts.scheme in ("http", "https", "grpc")
            and parts.hostname
            and (parts.port is None or parts.port > 0)
            and not (parts.query or parts.fragment)
            and not (parts.scheme == "grpc" and "@" in parts.netloc)
            and address.isprintable()
            and " " not in address
        )
    except (ValueError, AttributeError, TypeError):
        good = False
    if not good:
        # Without its password, if it has one.
        shown = re.sub("//.*@", "//***@", f"{address!r}", flags=re.DOTALL)
        raise ValueError(
            "An address must be http://host:8501, https://host or "
            f"grpc://host:8500. Received: address={shown}"
        )
    return parts


def _check_key(model, version, label):
    _check_name("model", model)
    if label is not None:
        _check_name("label", label)
    if version is not None and not (
        _is_integer(version) and 0 <= version <= MAX_VERSION and label is None
    ):
        raise ValueError(
            "`version` must be an integer from 0 to 2^63 - 1, without a "
            f"`label` beside it. Received: version={version!r}, label={label!r}"
        )
    return model, None if version is None else int(version), label


def _check_name(what, name):
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or not name.isprintable()
    ):
        raise ValueError(f"`{what}` must be a name. Received: {name!r}")


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _shape(shape):
    if shape.get("unknown_rank"):
        return None
    sizes = [int(axis.get("size", 0)) for axis in shape.get("dim", ())]
    return [None if size < 0 else size for size in sizes]


def _fit(key, tables, signature, inputs):
    if signature not in tables:
        raise ServingError(
            "The server must have the signature that is asked for. "
            f"Received: signature={signature!r}; {key[0]} has "
            f"{', '.join(tables)}."
        )
    specs = tables[signature]["inputs"]
    if not isinstance(inputs, Mapping) or set(inputs) != set(specs):
        given = list(inputs) if isinstance(inputs, Mapping) else type(inputs)
        raise ValueError(
            "`inputs` must be a dictionary of the inputs of the signature: "
            f"{list(specs)}. Received: {given}"
        )
    arrays = {
        name: _to_array(f"The input {name!r}", inputs[name], spec)
        for name, spec in specs.items()
    }
    for name, array in arrays.items():
        if array.dtype == object and not all(
            isinstance(item, (str, bytes)) for item in array.flat
        ):
            raise ValueError(
                f"The input {name!r} must be strings or bytes. "
                "Received: something else"
            )
    return tables[signature], arrays


def _to_array(what, value, spec):
    """An array with the dtype and shape of a specification.

    Args:
        what: String, what it is, for errors.
        value: Array, or nested lists.
        spec: Dictionary of `dtype` and `shape`.

    Raises:
        ValueError: if the value has another shape, or numbers that this dtype
            cannot hold.
    """
    dtype, shape = spec["dtype"], spec["shape"]
    if dtype not in _DTYPES.values():
        raise ValueError(
            f"{what} must have a dtype that NumPy has. Received: {dtype}"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{what} must have no mask. Received: a masked array")
    try:
        array = np.asarray(value, object if dtype == "string" else None)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{what} must be an array, or lists of equal lengths. "
            f"Received: {_plain(error)}"
        ) from error
    if dtype != "string":
        array = _convert(what, array, np.dtype(dtype))
    if shape is None:
        fits = array.ndim > 0
    else:
        fits = array.ndim == len(shape) and all(
            wanted in (None, size)
            for wanted, size in zip(shape, array.shape, strict=True)
        )
    if not fits:
        raise ValueError(
            f"{what} must have the shape {shape}, where None is any size. "
            f"Received: shape {list(array.shape)}"
        )
    if not array.size:
        raise ValueError(
            f"{what} must not be empty. Received: shape {list(array.shape)}"
        )
    return array


def _convert(what, array, dtype):
    """Converts an array, if that changes numbers by no more than rounding."""
    integers = array.dtype.kind in "iu"
    if not (
        np.can_cast(array.dtype, dtype, "same_kind")
        or (integers and dtype.kind in "iu")
    ):
        raise ValueError(
            f"{what} must be convertible to {dtype}. Received: {array.dtype}"
        )
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    lost = (
        converted != array
        if integers
        else np.isfinite(array) & ~np.isfinite(converted)
    )
    if lost.any():
        raise ValueError(
            f"{what} must be numbers that {dtype} can hold. "
            f"Received: {array[lost][0]}"
        )
    return converted


def _from_answer(name, answer, spec):
    """One output, from JSON or from gRPC, as an array."""
    if name not in answer:
        raise ServingError(
            "The server must answer with the outputs of the signature. "
            f"Received: {_plain(list(answer))}, without {name!r}"
        )
    try:
        array = _to_array(f"The output {name!r}", answer[name], spec)
        if spec["dtype"] == "string":
            # TensorFlow Serving sends outputs with this ending as bytes.
            decode = _to_bytes if name.endswith("_bytes") else _to_string
            flat = [decode(item) for item in array.flat]
            array = np.array(flat, object).reshape(array.shape)
    except ValueError as error:
        raise ServingError(
            "The server must answer as the signature says. "
            f"Received for {name!r}: {_plain(error)}"
        ) from error
    return array


def _to_bytes(item):
    """A string of the server: text, `{"b64": ...}`, or bytes."""
    if isinstance(item, dict) and isinstance(item.get("b64"), str):
        return base64.b64decode(item["b64"], validate=True)
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    raise ValueError(f"{item!r} for a string")


def _to_string(item):
    return _to_bytes(item).decode()


def _plain(text):
    """Text of a server in one line, without control characters."""
    text = "".join(c if c.isprintable() else " " for c in f"{text}")
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None  # Comes back as an error with the status.


class _Rest:
    def __init__(self, parts, timeout):
        user, _, host = parts.netloc.rpartition("@")
        self._address = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._headers = {"Content-Type": "application/json"}
        if user:
            login = base64.b64encode(urllib.parse.unquote(user).encode())
            self._headers["Authorization"] = f"Basic {login.decode()}"
        self._timeout = timeout

    def predict(self, key, signature, arrays, table):
        body = {
            "signature_name": signature,
            "inputs": {name: _jsonable(x) for name, x in arrays.items()},
        }

        def read(answer):
            # The server leaves out the name of an only output.
            outputs = answer["outputs"]
            if len(table["outputs"]) == 1:
                outputs = dict.fromkeys(table["outputs"], outputs)
            return {**outputs}

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
        return self._request(
            key,
            "",
            lambda answer: {
                int(item["version"]): f"{item['state']}"
                for item in answer["model_version_status"]
            },
        )

    def close(self):
        pass

    def _request(self, key, ending, read, body=None):
        """What `read` makes of the server's JSON."""
        model, version, label = key
        url = f"{self._address}/v1/models/{urllib.parse.quote(model, safe='')}"
        if label is not None:
            url += f"/labels/{urllib.parse.quote(label, safe='')}"
        elif version is not None:
            url += f"/versions/{version}"
        url += ending
        status, content = self._send(url, body)
        try:
            answer = json.loads(content)
            if status == 200:
                return read(answer)
            text = answer["error"]
        except _MALFORMED_RESPONSE:
            text = content.decode(errors="replace")
        if status == 200:
            raise ServingError(
                f"The answer of {url} must be that of TensorFlow Serving. "
                f"Received: {_plain(text)!r}"
            )
        raise ServingError(
            f"The server answered {status} to {url}: {_plain(text)}",
            status=status,
            unavailable=status == 503,
        )

    def _send(self, url, body):
        """Status and content of the answer.

        In a thread, since the timeout of a socket is for each part of an
        answer, and an answer may come in many parts.
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
                    answers.put((response.status, response.read()))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=send, daemon=True).start()
        try:
            answer = answers.get(timeout=self._timeout)
        except queue.Empty:
            answer = TimeoutError()
        if isinstance(answer, tuple):
            return answer
        reason = getattr(answer, "reason", answer)
        if isinstance(reason, TimeoutError):
            raise ServingError(
                f"The server must answer within {self._timeout} s. "
                f"Received: no complete answer of {url}. "
                "Give a longer `timeout`."
            ) from answer
        raise ServingError(
            f"No server answers at {url}: {_plain(reason or repr(answer))}",
            unavailable=True,
        ) from answer


class _Grpc:
    def __init__(self, parts, timeout):
        # Only here: REST needs neither of them.
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        except ImportError as error:
            raise ImportError(
                "gRPC needs the package tensorflow-serving-api. Received: "
                f"{error}. Run: pip install tensorflow-serving-api"
            ) from error

        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            parts.netloc,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, key, signature, arrays, table):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        del table
        request = predict_pb2.PredictRequest()
        _fill(request.model_spec, key)
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return self._request(
            self._prediction.Predict,
            request,
            lambda response: {
                name: tf.make_ndarray(tensor)
                for name, tensor in response.outputs.items()
            },
        )

    def metadata(self, key):
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _fill(request.model_spec, key)
        request.metadata_field.append("signature_def")

        def read(response):
            signatures = get_model_metadata_pb2.SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            return signature_table(
                json_format.MessageToDict(
                    signatures, preserving_proto_field_name=True
                )["signature_def"]
            )

        return self._request(self._prediction.GetModelMetadata, request, read)

    def status(self, key):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, key)
        states = get_model_status_pb2.ModelVersionStatus.State
        return self._request(
            self._models.GetModelStatus,
            request,
            lambda response: {
                item.version: states.Name(item.state)
                for item in response.model_version_status
            },
        )

    def close(self):
        self._channel.close()

    def _request(self, method, request, read):
        """What `read` makes of the server's message."""
        import grpc

        try:
            return read(method(request, timeout=self._timeout))
        except grpc.RpcError as error:
            code = error.code()
            raise ServingError(
                f"The server answered {code.name}: {_plain(error.details())}",
                status=code.name,
                unavailable=code == grpc.StatusCode.UNAVAILABLE,
            ) from error
        except _MALFORMED_RESPONSE as error:
            raise ServingError(
                "The answer must be that of TensorFlow Serving. "
                f"Received: {_plain(repr(error))}"
            ) from error


def _fill(model_spec, key):
    model_spec.name, version, label = key
    if label is not None:
        model_spec.version_label = label
    elif version is not None:
        model_spec.version.value = version


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
