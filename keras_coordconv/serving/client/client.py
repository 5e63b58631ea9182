"""A client for TensorFlow Serving: NumPy in, NumPy out, by REST or gRPC."""

import contextlib
import numbers
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_coordconv.serving.client.errors import ServingError
from keras_coordconv.serving.client.rest import RestTransport
from keras_coordconv.serving.client.tensors import from_answer
from keras_coordconv.serving.client.tensors import to_array
from keras_coordconv.serving.versions import MAX_VERSION


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
        self._transport: Any = _open_transport(parts, timeout)
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
                name: from_answer(name, answer, spec)
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
        name: to_array(f"The input {name!r}", inputs[name], spec)
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


def _open_transport(parts, timeout):
    if parts.scheme != "grpc":
        return RestTransport(parts, timeout)
    # Imported only here: REST needs neither gRPC nor TensorFlow.
    try:
        from keras_coordconv.serving.client.grpc import GrpcTransport
    except ImportError as error:
        raise ImportError(
            "gRPC needs the package tensorflow-serving-api. "
            f"Received: {error}. Run: pip install 'coordconv-keras[serving]'"
        ) from error
    return GrpcTransport(parts, timeout)
