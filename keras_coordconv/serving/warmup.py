"""The warm-up file: requests that a server answers itself before it is ready.

TensorFlow Serving reads `assets.extra/tf_serving_warmup_requests` when it loads
a version. A model that cannot answer is then never made available.
"""

import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf import message

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(folder, name, requests):
    """Writes the warm-up file of a version.

    Args:
        folder: String or path of the SavedModel.
        name: String, the name the model is served under.
        requests: Iterable of pairs of a signature's name and a dictionary of
            arrays by input name.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ImportError: without the package tensorflow-serving-api.
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
    """The requests of a version's warm-up file, as `write_warmup` takes them.

    Returns:
        List of pairs, empty where there is no such file.

    Raises:
        ValueError: if the file is damaged.
        ImportError: without the package tensorflow-serving-api.
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
            raise ValueError("No record")
    except (tf.errors.OpError, message.DecodeError, TypeError, ValueError) as e:
        raise ValueError(
            "A warm-up file must be records of requests. "
            f"Received: {path}, damaged after {len(requests)} of them. "
            "Export the model anew."
        ) from e
    return requests


def compact_tensor_proto(array):
    """A `TensorProto`; an array of one repeated number takes a few bytes."""
    array = np.asarray(array)
    if array.size > 1 and array.dtype != object:
        first = array.reshape(-1)[0]
        if (array == first).all():
            return tf.make_tensor_proto(first, shape=array.shape)
    return tf.make_tensor_proto(array)
