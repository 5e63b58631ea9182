"""Mock of TensorFlow Serving for tests.

    python tests/serving/mock_server.py FOLDER   # serves it until interrupted

On localhost, it implements the gRPC API, with the server's own protocol
buffers, and the REST API. It runs the models with TensorFlow's session loader.
Its error messages are not those of TensorFlow Serving.
"""

import argparse
import base64
import concurrent.futures
import http.server
import json
import pathlib
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

AVAILABLE = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE


class RequestError(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Models:
    """All versions of all models in a folder, each in a session."""

    def __init__(self, folder, labels=None):
        self.labels = labels or {}
        self.loaded = {}
        # Kernels are prepared again in each new thread, and REST uses one
        # thread per connection.
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        for path in sorted(pathlib.Path(folder).glob("*/*/saved_model.pb")):
            version = path.parent
            session = tf.compat.v1.Session(graph=tf.Graph())
            with session.graph.as_default():
                graph = tf.compat.v1.saved_model.load(
                    session, ["serve"], str(version)
                )
            name = version.parent.name
            self.loaded.setdefault(name, {})[int(version.name)] = (
                session,
                graph.signature_def,
            )

    def find(self, name, version=None, label=None):
        versions = self.loaded.get(name)
        if versions is None:
            raise RequestError("NOT_FOUND", f"Servable not found: {name}")
        if label:
            version = self.labels.get(name, {}).get(label)
            if version is None:
                raise RequestError(
                    "FAILED_PRECONDITION", f"Unrecognized label: {label}"
                )
        version = max(versions) if version is None else version
        if version not in versions:
            raise RequestError(
                "NOT_FOUND", f"Servable not found: {name}, version {version}"
            )
        return version, *versions[version]

    def predict(self, key, signature_name, make_inputs):
        version, session, signatures = self.find(*key)
        signature_name = signature_name or "serving_default"
        if signature_name not in signatures:
            raise RequestError(
                "FAILED_PRECONDITION",
                f"Serving signature key {signature_name!r} not found.",
            )
        signature = signatures[signature_name]
        inputs = make_inputs(signature)
        if set(inputs) != set(signature.inputs):
            raise RequestError(
                "INVALID_ARGUMENT",
                f"Inputs expected: {sorted(signature.inputs)}. "
                f"Received: {sorted(inputs)}.",
            )
        feed = {}
        for name, array in inputs.items():
            info = signature.inputs[name]
            dtype = tf.as_dtype(info.dtype)
            if tf.as_dtype(array.dtype) != dtype and array.dtype != object:
                raise RequestError(
                    "INVALID_ARGUMENT",
                    f"Expected {dtype.name} for {name}, got {array.dtype}.",
                )
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(array.shape):
                raise RequestError(
                    "INVALID_ARGUMENT",
                    f"Expected shape {shape} for {name}, got {array.shape}.",
                )
            feed[info.name] = array
        fetch = {name: info.name for name, info in signature.outputs.items()}
        try:
            run = self.thread.submit(session.run, fetch, feed)
            return version, signature, run.result()
        except tf.errors.OpError as error:
            raise RequestError("INVALID_ARGUMENT", error.message) from error


def key_of(spec):
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label or None


class Grpc(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):  # noqa: N802
        try:
            version, _, outputs = self.models.predict(
                key_of(request.model_spec),
                request.model_spec.signature_name,
                lambda signature: {
                    name: tf.make_ndarray(tensor)
                    for name, tensor in request.inputs.items()
                },
            )
        except RequestError as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        try:
            _, _, signatures = self.models.find(*key_of(request.model_spec))
        except RequestError as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signature_map(signatures))
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        try:
            name, version, label = key_of(request.model_spec)
            found, _, _ = self.models.find(name, version, label)
        except RequestError as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        one = version is not None or label
        response = get_model_status_pb2.GetModelStatusResponse()
        for number in [found] if one else self.models.loaded[name]:
            response.model_version_status.add(version=number, state=AVAILABLE)
        return response


def signature_map(signatures):
    result = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in signatures.items():
        result.signature_def[name].CopyFrom(
            meta_graph_pb2.SignatureDef.FromString(
                signature.SerializeToString()
            )
        )
    return result


STATUS = {
    "NOT_FOUND": 404,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 412,
}


class Rest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(lambda: self.predict(body))

    def answer(self, function):
        try:
            status, body = 200, function()
        except RequestError as error:
            status, body = STATUS[error.code], {"error": str(error)}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def key(self, path):
        parts = path.strip("/").split("/")
        if parts[:2] != ["v1", "models"] or len(parts) not in (3, 5):
            raise RequestError("INVALID_ARGUMENT", f"Malformed request: {path}")
        version = label = None
        if len(parts) == 5:
            version = int(parts[4]) if parts[3] == "versions" else None
            label = parts[4] if parts[3] == "labels" else None
        return parts[2], version, label

    def get(self):
        from google.protobuf import json_format

        path = self.path.removesuffix("/metadata")
        name, version, label = self.key(path)
        found, _, signatures = self.server.models.find(name, version, label)
        if path != self.path:
            table = json_format.MessageToDict(
                signature_map(signatures),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            return {
                "model_spec": {"name": name, "version": f"{found}"},
                "metadata": {"signature_def": table},
            }
        one = version is not None or label
        return {
            "model_version_status": [
                {
                    "version": f"{number}",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
                for number in (
                    [found] if one else self.server.models.loaded[name]
                )
            ]
        }

    def predict(self, body):
        path = self.path.removesuffix(":predict")
        try:
            request = json.loads(body)
            (form,) = {"inputs", "instances"} & set(request)
        except (ValueError, TypeError) as error:
            raise RequestError(
                "INVALID_ARGUMENT",
                f"JSON Parse error: one of inputs and instances: {error}",
            ) from error
        to_columns = columns_of_rows if form == "instances" else columns_of

        def make_inputs(signature):
            try:
                values = to_columns(request[form], list(signature.inputs))
                return {
                    name: array_of(value, signature.inputs[name])
                    for name, value in values.items()
                }
            except (
                LookupError,
                ValueError,
                AttributeError,
                TypeError,
            ) as error:
                raise RequestError(
                    "INVALID_ARGUMENT", f"JSON value is not of type: {error}"
                ) from error

        _, _, outputs = self.server.models.predict(
            self.key(path), request.get("signature_name"), make_inputs
        )
        encoded = {
            name: plain(array.tolist(), name) for name, array in outputs.items()
        }
        if len(encoded) == 1:
            (encoded,) = encoded.values()
        elif form == "instances":
            encoded = rows_of_columns(encoded)
        return {"predictions" if form == "instances" else "outputs": encoded}

    def log_message(self, *arguments):
        pass


def is_object(value):
    return isinstance(value, dict) and set(value) != {"b64"}


def columns_of(value, names):
    if is_object(value):
        return {name: value[name] for name in names}
    (name,) = names
    return {name: value}


def columns_of_rows(rows, names):
    if not isinstance(rows, list) or not rows:
        raise ValueError("instances is not a list with values")
    kinds = {is_object(row) for row in rows}
    if kinds == {False}:
        return columns_of(rows, names)
    if kinds != {True} or not all(set(row) == set(names) for row in rows):
        raise ValueError(f"each of instances must be an object of {names}")
    return {name: [row[name] for row in rows] for name in names}


def rows_of_columns(columns):
    if len({len(column) for column in columns.values()}) > 1:
        raise RequestError(
            "INVALID_ARGUMENT", f"Outputs of several sizes: {list(columns)}"
        )
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


# Kinds of NumPy's dtypes that are numbers of JSON for another kind.
JSON_KINDS = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


def array_of(value, info):
    if info.dtype == tf.string.as_datatype_enum:
        return np.array(bytes_of(value), object)
    dtype = np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype)
    array = np.array(value)
    if array.dtype.kind not in JSON_KINDS[dtype.kind]:
        raise ValueError(f"{array.dtype} instead of {dtype}")
    return array.astype(dtype)


def bytes_of(value):
    if isinstance(value, list):
        return [bytes_of(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode()


def plain(value, name):
    if isinstance(value, list):
        return [plain(item, name) for item in value]
    if isinstance(value, bytes):
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode()
    return value


class MockServer:
    """A gRPC server and a REST server, by default on free ports."""

    def __init__(self, folder, labels=None, rest_port=0, grpc_port=0):
        models = Models(folder, labels)
        self._grpc = grpc.server(
            concurrent.futures.ThreadPoolExecutor(4),
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
            ],
        )
        servicer = Grpc(models)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            servicer, self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            servicer, self._grpc
        )
        port = self._grpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
        self._grpc.start()
        self.grpc = f"grpc://127.0.0.1:{port}"
        self._rest = http.server.ThreadingHTTPServer(
            ("127.0.0.1", rest_port), Rest
        )
        self._rest.models = models
        threading.Thread(target=self._rest.serve_forever, daemon=True).start()
        self.rest = f"http://127.0.0.1:{self._rest.server_port}"

    def stop(self):
        self._grpc.stop(None)
        self._rest.shutdown()
        self._rest.server_close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="folder with <name>/<version>")
    parser.add_argument(
        "--ports", type=int, nargs=2, default=(8501, 8500), help="REST and gRPC"
    )
    args = parser.parse_args()
    server = MockServer(args.folder, None, *args.ports)
    print(f"Mock TensorFlow Serving: {server.rest} {server.grpc}")
    threading.Event().wait()
