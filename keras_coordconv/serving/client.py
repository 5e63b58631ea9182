"""A client for TensorFlow Serving: NumPy in, NumPy out, by REST or gRPC.

This module itself needs NumPy only for REST; gRPC also needs TensorFlow and
tensorflow-serving-api.
"""

import base64
import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request

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


def signature_table(definitions):
    """What signatures take and give, in short.

    Args:
        definitions: Dictionary of TensorFlow's `SignatureDef`s by name, in the
            form that they have in JSON.

    Returns:
        Dictionary from a signature's name to `{"inputs": ..., "outputs": ...}`,
        each a dictionary by tensor name of `{"dtype": ..., "shape": ...}`. The
        dtype is one of NumPy's or `"string"`; `None` is a size that is not
        known.
    """
    return {
        name: {
            side: {
                tensor: {
                    "dtype": _DTYPES[info["dtype"]],
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
            `"grpc://host:8500"`.
        timeout: Float, seconds that one request may take.
        retries: Integer, how often a request is sent again where the server is
            unavailable, and then only; the pauses are 0.2 s, 0.4 s, and so on.

    Raises:
        ValueError: if the address is of another form.
        ServingError: from each method, with the server's own text.

    Example:

    >>> client = ServingClient("http://localhost:8501")
    >>> client.predict("rendering", {"location": [[40.0, 22.0]]})["image"].shape
    (1, 64, 64, 1)
    """

    def __init__(self, address, timeout=10.0, retries=3):
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https", "grpc") or not parts.netloc:
            raise ValueError(
                "An address must begin with http://, https:// or grpc:// and "
                f"name a host. Received: address={address!r}"
            )
        transport = _Grpc if parts.scheme == "grpc" else _Rest
        self._transport = transport(address, parts.netloc, timeout)
        self._retries = retries
        self._signatures = {}

    def predict(
        self,
        model,
        inputs,
        signature="serving_default",
        version=None,
        label=None,
    ):
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
            ValueError: if the batch is empty, or an input cannot be converted
                to the model's dtype.
        """
        key = (model, version, label)
        if key not in self._signatures:
            self._signatures[key] = self.metadata(*key)
        try:
            table = self._signatures[key][signature]
        except KeyError:
            raise ServingError(
                f"The server must have the signature that is asked for. "
                f"Received: signature={signature!r}; {model} has "
                f"{', '.join(sorted(self._signatures.pop(key)))}."
            ) from None
        arrays = {
            name: _to_array(name, value, table["inputs"].get(name))
            for name, value in inputs.items()
        }
        try:
            return self._retried(
                lambda: self._transport.predict(key, signature, arrays, table)
            )
        except ServingError:
            # The model may have been replaced by another.
            self._signatures.pop(key, None)
            raise

    def metadata(self, model, version=None, label=None):
        """The signatures of a model.

        Returns:
            Dictionary from a signature's name to its inputs and outputs, as
            from `signature_table`.
        """
        return self._retried(
            lambda: self._transport.metadata((model, version, label))
        )

    def status(self, model, version=None, label=None):
        """The state of a model's versions.

        Returns:
            Dictionary from the version, an integer, to a string such as
            `"AVAILABLE"`.
        """
        return self._retried(
            lambda: self._transport.status((model, version, label))
        )

    def close(self):
        """Closes the connection."""
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _retried(self, request):
        for attempt in range(self._retries + 1):
            try:
                return request()
            except ServingError as error:
                if not error.unavailable or attempt == self._retries:
                    raise
            time.sleep(0.2 * 2**attempt)


def _to_array(name, value, spec):
    if spec is None:
        array = np.asarray(value)  # The server says that there is none.
    elif spec["dtype"] == "string":
        array = np.asarray(value, object)
    else:
        array = np.asarray(value)
        if not np.can_cast(array.dtype, spec["dtype"], "same_kind") and not (
            array.dtype.kind in "iu" and np.dtype(spec["dtype"]).kind in "iu"
        ):
            raise ValueError(
                f"The input {name!r} must be convertible to {spec['dtype']}. "
                f"Received: dtype {array.dtype}."
            )
        array = array.astype(spec["dtype"])
    if array.ndim and not len(array):
        raise ValueError(
            f"A batch must not be empty. Received: {name!r} of shape "
            f"{array.shape}."
        )
    return array


def _shape(shape):
    if shape.get("unknown_rank"):
        return None
    sizes = [int(axis.get("size", 0)) for axis in shape.get("dim", ())]
    return [None if size < 0 else size for size in sizes]


class _Rest:
    def __init__(self, address, host, timeout):
        self._address = address.rstrip("/")
        self._timeout = timeout

    def predict(self, key, signature, arrays, table):
        body = {
            "signature_name": signature,
            "inputs": {name: _jsonable(x) for name, x in arrays.items()},
        }
        outputs = self._request(key, ":predict", body)["outputs"]
        specs = table["outputs"]
        if len(specs) == 1:
            # The server leaves out the name of an only output.
            outputs = {name: outputs for name in specs}
        return {
            name: _from_json(value, specs[name]["dtype"])
            for name, value in outputs.items()
        }

    def metadata(self, key):
        answer = self._request(key, "/metadata")
        return signature_table(
            answer["metadata"]["signature_def"]["signature_def"]
        )

    def status(self, key):
        answer = self._request(key, "")["model_version_status"]
        return {int(item["version"]): item["state"] for item in answer}

    def close(self):
        pass

    def _request(self, key, ending, body=None):
        model, version, label = key
        url = f"{self._address}/v1/models/{urllib.parse.quote(model)}"
        if label is not None:
            url += f"/labels/{urllib.parse.quote(label)}"
        elif version is not None:
            url += f"/versions/{version}"
        url += ending
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as file:
                return json.load(file)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["error"]
            raise ServingError(
                f"The server answered {error.code} to {url}: {text}",
                status=error.code,
                unavailable=error.code == 503,
            ) from error
        except TimeoutError as error:
            raise ServingError(
                f"The server must answer within {self._timeout} s. "
                f"Received: nothing from {url}. Give a longer `timeout`."
            ) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise ServingError(
                    f"The server must answer within {self._timeout} s. "
                    f"Received: nothing from {url}. Give a longer `timeout`."
                ) from error
            raise ServingError(
                f"No server answers at {url}: {error.reason}",
                unavailable=True,
            ) from error
        except (ConnectionError, http.client.HTTPException) as error:
            raise ServingError(
                f"The connection broke off at {url}: {error!r}",
                unavailable=True,
            ) from error


class _Grpc:
    def __init__(self, address, host, timeout):
        # Only here: REST needs neither of them.
        import grpc
        from tensorflow_serving.apis import model_service_pb2_grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            host,
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

        request = predict_pb2.PredictRequest()
        _fill(request.model_spec, key)
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._request(self._prediction.Predict, request)
        return {
            name: _text(tf.make_ndarray(tensor))
            for name, tensor in response.outputs.items()
        }

    def metadata(self, key):
        from google.protobuf import json_format
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        _fill(request.model_spec, key)
        request.metadata_field.append("signature_def")
        response = self._request(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return signature_table(
            json_format.MessageToDict(
                signatures, preserving_proto_field_name=True
            )["signature_def"]
        )

    def status(self, key):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        _fill(request.model_spec, key)
        response = self._request(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return {
            item.version: states.Name(item.state)
            for item in response.model_version_status
        }

    def close(self):
        self._channel.close()

    def _request(self, method, request):
        import grpc

        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            code = error.code()
            raise ServingError(
                f"The server answered {code.name}: {error.details()}",
                status=code.name,
                unavailable=code == grpc.StatusCode.UNAVAILABLE,
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


def _from_json(value, dtype):
    if dtype == "string":
        return np.array(_decode(value), object)
    return np.array(value, dtype)


def _decode(value):
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value


def _text(array):
    """Strings as REST gives them."""
    if array.dtype != object:
        return array
    decoded = [
        item.decode() if isinstance(item, bytes) else item
        for item in array.reshape(-1)
    ]
    return np.array(decoded, object).reshape(array.shape)
