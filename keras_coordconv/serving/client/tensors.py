"""Converts inputs and outputs to arrays that match a signature."""

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
    """Summarize the inputs and outputs of signatures.

    Args:
        definitions: Dictionary of TensorFlow's `SignatureDef`s by name, in
            JSON form.

    Returns:
        Dictionary from signature names to `{"inputs": ..., "outputs": ...}`,
        each a dictionary from tensor names to `{"dtype": ..., "shape": ...}`.
        The dtype is the name of a NumPy dtype, `"string"`, or TensorFlow's name
        if NumPy has no such dtype. `None` stands for an unknown size or an
        unknown shape.
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
    """Convert a value to an array, and check its dtype and shape.

    Args:
        what: String, name of the value in errors.
        value: Array or nested lists.
        spec: Dictionary of `dtype` and `shape`, or `None` if they are unknown.

    Raises:
        ValueError: if the value has another shape, or if its numbers do not fit
            in the dtype.
    """
    dtype, shape = (spec["dtype"], spec["shape"]) if spec else (None, None)
    if spec and dtype not in _DTYPES.values():
        raise ValueError(
            f"{what} has a dtype that NumPy does not support. "
            f"Received: {plain(dtype)}"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{what} must not be masked. Received: a masked array")
    try:
        array = np.asarray(value, object if dtype == "string" else None)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{what} must be an array or nested lists of equal lengths. "
            f"Received: {plain(error)}"
        ) from error
    if spec is None:
        if array.dtype.kind in "OSU":
            array = np.asarray(value, object)
        elif f"{array.dtype}" not in _DTYPES.values():
            raise ValueError(
                f"{what} must contain numbers, booleans or strings. "
                f"Received: {array.dtype}"
            )
    elif dtype != "string":
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
            f"{what} must have shape {plain(shape)}, where None is any size. "
            f"Received: shape {list(array.shape)}"
        )
    if not array.size:
        raise ValueError(
            f"{what} must not be empty. Received: shape {list(array.shape)}"
        )
    return array


def from_answer(name, answer, spec):
    """Convert one output, from JSON or gRPC, to an array.

    Args:
        name: String, name of the output.
        answer: Dictionary of all outputs by name.
        spec: Dictionary of `dtype` and `shape`, or `None` if they are unknown.
    """
    if name not in answer:
        raise ServingError(
            f"The server's response lacks the output {plain(repr(name))}. "
            f"Received: {plain(list(answer))}"
        )
    try:
        array = to_array(f"The output {name!r}", answer[name], spec)
        if array.dtype == object:
            # TensorFlow Serving returns outputs with this suffix as bytes.
            decode = _to_bytes if name.endswith("_bytes") else _to_string
            flat = [decode(item) for item in array.flat]
            array = np.array(flat, object).reshape(array.shape)
    except ValueError as error:
        raise ServingError(
            "The server's response does not match the signature. "
            f"Received for {plain(repr(name))}: {plain(error)}"
        ) from error
    return array


def _shape(shape):
    if shape.get("unknown_rank"):
        return None
    sizes = [int(axis.get("size", 0)) for axis in shape.get("dim", ())]
    return [None if size < 0 else size for size in sizes]


def _convert(what, array, dtype):
    """Convert an array, and raise if values change by more than rounding."""
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
            f"{what} must contain only values that fit in {dtype}. "
            f"Received: {array[lost][0]}"
        )
    return converted


def _to_bytes(item):
    """Convert text, `{"b64": ...}` or bytes from the server to bytes."""
    if isinstance(item, dict) and isinstance(item.get("b64"), str):
        return base64.b64decode(item["b64"], validate=True)
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    raise ValueError(f"{type(item).__name__} is not a string")


def _to_string(item):
    return _to_bytes(item).decode()
