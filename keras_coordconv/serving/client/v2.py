"""Client of the Open Inference Protocol (V2) by REST."""

import numpy as np

from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.rest import RestTransport
from keras_coordconv.serving.client.tensors import to_array

_DTYPES = {
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "UINT64": "uint64",
    "BOOL": "bool",
    "BYTES": "string",
}
_DATATYPES = {dtype: name for name, dtype in _DTYPES.items()}


class V2Transport(RestTransport):
    _root = "v2/models"

    def predict(self, key, signature, arrays, table, rows):
        del rows
        _check_key(key, signature)
        body = {
            "inputs": [
                {
                    "name": name,
                    "shape": list(array.shape),
                    "datatype": _DATATYPES.get(f"{array.dtype}", "BYTES"),
                    "data": _flat(name, array),
                }
                for name, array in arrays.items()
            ]
        }

        def read(answer):
            return {
                tensor["name"]: _tensor(tensor) for tensor in answer["outputs"]
            }

        return self._request(key, "/infer", read, body)

    def metadata(self, key):
        _check_key(key)
        return self._request(key, "", _read_metadata)

    def status(self, key):
        _check_key(key)
        model, version, label = key
        versions = [version]
        if version is None:
            # A server without versions lists none.
            versions = self._request(
                key,
                "",
                lambda answer: [*map(int, answer.get("versions") or ())],
            ) or [None]
        return {
            number or 1: self._state((model, number, label))
            for number in versions
        }

    def _state(self, key):
        try:
            self._request(key, "/ready", lambda answer: answer)
        except ServingError as error:
            if error.status not in (400, 503):
                raise
            return "LOADING"
        return "AVAILABLE"


def _check_key(key, signature="serving_default"):
    if signature != "serving_default" or key[2] is not None:
        raise ValueError(
            "V2 has neither signatures nor labels. "
            f"Received: signature={signature!r}, label={key[2]!r}"
        )


def _read_metadata(answer):
    """Return the tables of the one signature; empty if they are not known."""
    table = {
        side: {
            tensor["name"]: {
                "dtype": _DTYPES.get(
                    tensor["datatype"], f"{tensor['datatype']}"
                ),
                "shape": [
                    None if int(size) < 0 else int(size)
                    for size in tensor["shape"]
                ],
            }
            for tensor in answer.get(side) or ()
        }
        for side in ("inputs", "outputs")
    }
    return {"serving_default": table} if all(table.values()) else {}


def _flat(name, array):
    if array.dtype != object:
        return array.reshape(-1).tolist()
    try:
        return [
            item.decode() if isinstance(item, bytes) else item
            for item in array.reshape(-1)
        ]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The input {name!r} must be text: V2 sends JSON, which has no "
            "bytes. Received: bytes that are not UTF-8"
        ) from error


def _tensor(tensor):
    dtype = _DTYPES[tensor["datatype"]]
    array = np.asarray(tensor["data"], object if dtype == "string" else None)
    spec = {"dtype": dtype, "shape": None}
    return to_array("The output", array.reshape(tensor["shape"]), spec)
