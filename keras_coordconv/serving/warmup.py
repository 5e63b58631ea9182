"""Warm-up file: requests that a server runs before a version is available.

TensorFlow Serving replays `assets.extra/tf_serving_warmup_requests` when it
loads a version. If a request fails, the version never becomes available.
"""

import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import message

FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(folder, name, requests):
    """Write the warm-up file of a version.

    Args:
        folder: String or path of the SavedModel.
        name: String, name of the served model.
        requests: Iterable of pairs `(signature, inputs)`: the name of a
            signature and a dictionary of arrays by input name.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ImportError: if tensorflow-serving-api is not installed.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = pathlib.Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, arrays in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, array in arrays.items():
                request.inputs[key].CopyFrom(compact_tensor_proto(array))
            writer.write(log.SerializeToString())
    return path


def read_warmup(folder):
    """Read the requests of a version's warm-up file.

    Returns:
        List of pairs `(signature, inputs)`, as in `write_warmup`; empty if the
        file does not exist.

    Raises:
        ValueError: if the file is damaged.
        ImportError: if tensorflow-serving-api is not installed.
    """
    path = pathlib.Path(folder) / FILE
    if not path.exists():
        return []
    from tensorflow_serving.apis import prediction_log_pb2

    requests = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            arrays = {
                key: tf.make_ndarray(tensor)
                for key, tensor in request.inputs.items()
            }
            requests.append((request.model_spec.signature_name, arrays))
        if not requests:
            raise ValueError("No records")
    except (tf.errors.OpError, message.DecodeError, TypeError, ValueError) as e:
        raise ValueError(
            "Could not read the warm-up file. "
            f"Received: {path}, damaged after {len(requests)} requests. "
            "Export the model again."
        ) from e
    return requests


def compact_tensor_proto(array):
    """Convert an array to a `TensorProto`.

    An array whose values are all equal is stored as one value.
    """
    array = np.asarray(array)
    if array.size > 1 and array.dtype != object:
        first = array.reshape(-1)[0]
        if (array == first).all():
            return tf.make_tensor_proto(first, shape=array.shape)
    return tf.make_tensor_proto(array)
