"""Client for model servers: NumPy in, NumPy out, by REST or gRPC."""

import contextlib
import numbers
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_coordconv._install import install_command
from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.errors import plain
from keras_coordconv.serving.client.rest import RestTransport
from keras_coordconv.serving.client.tensors import from_answer
from keras_coordconv.serving.client.tensors import to_array
from keras_coordconv.serving.client.v2 import V2Transport
from keras_coordconv.serving.versions import MAX_VERSION


class ServingClient:
    """Client for TensorFlow Serving and servers with the same protocols.

    Args:
        address: String, `"http://host:8501"`, `"https://host"` or
            `"grpc://host:8500"`. Use `"https://user:password@host"` to log in.
        timeout: Float, maximum number of seconds for a complete request, from
            encoding the inputs to parsing the response.
        retries: Integer, maximum number of retries while the server is
            unavailable, after pauses of 0.2 s, 0.4 s, and so on. Other errors
            are not retried.
        max_response_bytes: Integer, maximum size of a response.
        protocol: String, `"v1"` for TensorFlow Serving and KServe's V1, or
            `"v2"` for the Open Inference Protocol by REST, which Triton,
            OpenVINO Model Server and KServe's V2 have.

    Raises:
        ValueError: if an argument is invalid; also raised by each method.
        ServingError: raised by each method if the server is unreachable or does
            not return a valid result.

    Example:

    >>> client = ServingClient("http://localhost:8501")
    >>> client.predict("rendering", {"location": [[40.0, 22.0]]})["image"].shape
    (1, 64, 64, 1)
    """

    def __init__(
        self,
        address: str,
        timeout: float = 10.0,
        retries: int = 3,
        max_response_bytes: int = 100_000_000,
        protocol: str = "v1",
    ) -> None:
        parts = _split_address(address)
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, numbers.Real)
            or not 0 < timeout <= threading.TIMEOUT_MAX
        ):
            raise ValueError(
                "`timeout` must be a positive number of seconds. "
                f"Received: timeout={timeout!r}"
            )
        if not _is_integer(retries) or retries < 0:
            raise ValueError(
                "`retries` must be a non-negative integer. "
                f"Received: retries={retries!r}"
            )
        if not (
            _is_integer(max_response_bytes) and 0 < max_response_bytes < 2**31
        ):
            raise ValueError(
                "`max_response_bytes` must be an integer from 1 to 2^31 - 1. "
                f"Received: max_response_bytes={max_response_bytes!r}"
            )
        schemes = {"v1": ("http", "https", "grpc"), "v2": ("http", "https")}
        if parts.scheme not in schemes.get(f"{protocol}", ()):
            raise ValueError(
                "`protocol` must be 'v1', or 'v2' with an http address. "
                f"Received: protocol={protocol!r} for {parts.scheme}"
            )
        self._transport: Any = _open_transport(
            protocol, parts, timeout, int(max_response_bytes)
        )
        self._has_rows: bool = protocol == "v1" and parts.scheme != "grpc"
        self._retries = retries
        self._signatures: dict[tuple, Any] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        rows: bool = False,
    ) -> dict[str, np.ndarray]:
        """Run a prediction request.

        A server without metadata, such as KServe with its V1 protocol, gets the
        inputs as they are passed. The outputs then have the types in its
        response, and an output without a name is called `predictions`.

        Args:
            model: String, name of the model on the server.
            inputs: Dictionary of arrays or nested lists by input name, with the
                batch as the first axis. Encoded images are `bytes`.
            signature: String, name of the signature. V2 has only the default.
            version: Integer, or `None` for the server's default.
            label: String, label of a version. Cannot be combined with
                `version`. V2 has no labels.
            rows: Boolean, whether to send the examples one by one, as
                `instances`, which only V1 by REST has. Servers without metadata
                always get rows.

        Returns:
            Dictionary of NumPy arrays by output name.

        Raises:
            ValueError: if the inputs do not match the names, shapes and dtypes
                of the signature.
            ServingError: if the model or signature is unknown, if the server is
                unreachable, or if its response does not match the signature.
        """
        key = _check_key(model, version, label)
        _check_name("signature", signature)
        if rows and not self._has_rows:
            raise ValueError(
                "`rows` requires V1 by REST. Received: rows=True for V2 or gRPC"
            )
        table, arrays = self._prepare(key, signature, inputs)
        try:
            answer = self._retried(
                lambda: self._transport.predict(
                    key, signature, arrays, table, rows
                )
            )
            specs = table["outputs"] if table else dict.fromkeys(answer)
            return {
                name: from_answer(name, answer, spec)
                for name, spec in specs.items()
            }
        except ServingError:
            # The model may have been replaced.
            self._signatures.pop(key, None)
            raise

    def metadata(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """Get the signatures of a model.

        Args:
            model: String, name of the model on the server.
            version: Integer, or `None` for the server's default.
            label: String, label of a version.

        Returns:
            Dictionary from signature names to
            `{"inputs": ..., "outputs": ...}`, each a dictionary from tensor
            names to `{"dtype": ..., "shape": ...}`. `None` stands for an
            unknown size or an unknown shape.
        """
        key = _check_key(model, version, label)
        return self._retried(lambda: self._transport.metadata(key))

    def status(
        self, model: str, version: int | None = None, label: str | None = None
    ) -> dict[int, str]:
        """Get the state of a model's versions.

        Args:
            model: String, name of the model on the server.
            version: Integer, or `None` for all versions.
            label: String, label of a version.

        Returns:
            Dictionary from integer versions to strings such as `"AVAILABLE"`.
        """
        key = _check_key(model, version, label)
        return self._retried(lambda: self._transport.status(key))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> "ServingClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _prepare(self, key, signature, inputs):
        """Return the table of the signature and the converted inputs.

        The table is `None` if the server has no metadata.
        """
        if key in self._signatures:
            # If the cached signature does not fit, the model may be newer.
            with contextlib.suppress(ServingError, ValueError):
                return _fit(key, self._signatures[key], signature, inputs)
        try:
            self._signatures[key] = self.metadata(*key)
        except ServingError as error:
            if error.status != 404:
                raise
            self._signatures[key] = {}
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
        # Hides the password.
        shown = re.sub("//.*@", "//***@", f"{address!r}", flags=re.DOTALL)
        raise ValueError(
            "`address` must be http://host:8501, https://host or "
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
            "`version` must be an integer from 0 to 2^63 - 1, and cannot be "
            "combined with `label`. "
            f"Received: version={version!r}, label={label!r}"
        )
    return model, None if version is None else int(version), label


def _check_name(what, name):
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or not name.isprintable()
    ):
        raise ValueError(
            f"`{what}` must be a non-empty printable string other than '.' and "
            "'..'. "
            f"Received: {name!r}"
        )


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _fit(key, tables, signature, inputs):
    if tables and signature not in tables:
        raise ServingError(
            "Unknown signature. "
            f"Received: signature={signature!r}. Available in {key[0]!r}: "
            f"{plain(', '.join(tables))}"
        )
    given = list(inputs) if isinstance(inputs, Mapping) else type(inputs)
    if not tables:
        table = None
        if not isinstance(inputs, Mapping) or not inputs:
            raise ValueError(
                "`inputs` must be a dictionary of the model's inputs. "
                f"Received: {given}"
            )
        specs = dict.fromkeys(inputs)
    else:
        table = tables[signature]
        specs = table["inputs"]
        if not isinstance(inputs, Mapping) or set(inputs) != set(specs):
            raise ValueError(
                "`inputs` must be a dictionary of the signature's inputs: "
                f"{plain(list(specs))}. Received: {given}"
            )
    arrays = {
        name: to_array(f"The input {name!r}", inputs[name], spec)
        for name, spec in specs.items()
    }
    for name, array in arrays.items():
        if array.dtype == object and not all(
            isinstance(item, (str, bytes)) for item in array.flat
        ):
            raise ValueError(
                f"The input {name!r} must contain only strings or bytes. "
                "Received: values of other types"
            )
    return table, arrays


def _open_transport(protocol, *settings):
    if protocol == "v2":
        return V2Transport(*settings)
    if settings[0].scheme != "grpc":
        return RestTransport(*settings)
    # Imported here, since REST needs neither gRPC nor TensorFlow.
    try:
        from keras_coordconv.serving.client.grpc import GrpcTransport
    except ImportError as error:
        raise ImportError(
            "gRPC requires tensorflow-serving-api. "
            f"Received: {error}. Run: {install_command('serving')}"
        ) from error
    return GrpcTransport(*settings)
