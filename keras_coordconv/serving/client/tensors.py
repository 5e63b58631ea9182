"""Arrays as a signature has them, and as a server sends them."""

import base64

import numpy as np

from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.errors import plain

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


def to_array(what, value, spec):
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
            f"Received: {plain(error)}"
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


def from_answer(name, answer, spec):
    """One output, from JSON or from gRPC, as an array."""
    if name not in answer:
        raise ServingError(
            "The server must answer with the outputs of the signature. "
            f"Received: {plain(list(answer))}, without {name!r}"
        )
    try:
        array = to_array(f"The output {name!r}", answer[name], spec)
        if spec["dtype"] == "string":
            # TensorFlow Serving sends outputs with this ending as bytes.
            decode = _to_bytes if name.endswith("_bytes") else _to_string
            flat = [decode(item) for item in array.flat]
            array = np.array(flat, object).reshape(array.shape)
    except ValueError as error:
        raise ServingError(
            "The server must answer as the signature says. "
            f"Received for {name!r}: {plain(error)}"
        ) from error
    return array


def _shape(shape):
    if shape.get("unknown_rank"):
        return None
    sizes = [int(axis.get("size", 0)) for axis in shape.get("dim", ())]
    return [None if size < 0 else size for size in sizes]


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
