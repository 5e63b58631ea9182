"""Client of TensorFlow Serving's gRPC API."""

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from keras_coordconv.serving.client.errors import MALFORMED_RESPONSE
from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.errors import plain
from keras_coordconv.serving.client.tensors import signature_table


class GrpcTransport:
    def __init__(self, parts, timeout, max_response_bytes):
        self._timeout = timeout
        self._channel = grpc.insecure_channel(
            parts.netloc,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", max_response_bytes),
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(
            self._channel
        )
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, key, signature, arrays, table, rows):
        del table, rows
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
        """Send a request and parse the response message with `read`."""
        try:
            return read(method(request, timeout=self._timeout))
        except grpc.RpcError as error:
            code = error.code()
            raise ServingError(
                f"The server returned status {code.name}: "
                f"{plain(error.details())}",
                status=code.name,
                unavailable=code == grpc.StatusCode.UNAVAILABLE,
            ) from error
        except MALFORMED_RESPONSE as error:
            raise ServingError(
                "The server did not return a valid TensorFlow Serving "
                f"response. Received: {plain(repr(error))}"
            ) from error


def _fill(model_spec, key):
    model_spec.name, version, label = key
    if label is not None:
        model_spec.version_label = label
    elif version is not None:
        model_spec.version.value = version
