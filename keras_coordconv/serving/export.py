"""Exports a trained model as a SavedModel for TensorFlow Serving."""

import contextlib
import datetime
import errno
import gc
import json
import os
import pathlib
import warnings
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_coordconv import _files
from keras_coordconv import conversion
from keras_coordconv._install import install_command
from keras_coordconv.conversion import clone
from keras_coordconv.serving import check
from keras_coordconv.serving import warmup as warmup_file
from keras_coordconv.serving.signatures import Signature
from keras_coordconv.serving.signatures import check_input_names
from keras_coordconv.serving.signatures import input_names
from keras_coordconv.serving.signatures import output_names
from keras_coordconv.serving.signatures import read_signatures
from keras_coordconv.serving.signatures import tensor_signature
from keras_coordconv.serving.signatures import with_labels
from keras_coordconv.serving.versions import BATCH_SIZES
from keras_coordconv.serving.versions import MODEL_CARD
from keras_coordconv.serving.versions import check_model_name
from keras_coordconv.serving.versions import version_path

CHECKED_BATCH_SIZES = (1, 2, 7)
# Maximum error of an export, relative to its largest output.
TOLERANCE = 1e-5
# The same in half precision, four times the unit roundoff: TensorFlow fuses
# operations in a graph, which then rounds at different points.
HALF_PRECISION = {"bfloat16": 2**-6, "float16": 2**-9}


def export_for_serving(
    model: keras.Model,
    base_path: str | os.PathLike[str],
    version: int | None = None,
    *,
    outputs: Callable[[Any], dict[str, Any]] | None = None,
    signatures: Mapping[str, Signature] | None = None,
    labels: Sequence[str] | None = None,
    warmup: Mapping[str, Mapping[str, Any]] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    fold_coordinates: bool = False,
    card: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Export a model to `base_path/<version>/` for TensorFlow Serving.

    The signature `tensor` takes the model's inputs by name, with any batch
    size, and returns its outputs by name, as float32. It is also
    `serving_default`, unless `signatures` contains another one.

    The version is first written to a scratch folder, where a new process loads
    it as a server does and compares its outputs with the Keras model's. Only
    then is the folder renamed: a server that watches `base_path` never finds an
    incomplete or broken version. For random outputs, only the shapes are
    compared.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        base_path: String or path of the folder with all versions of the model.
            The name of the folder is the model's name on the server.
        version: Positive integer. Defaults to the next version when the
            export is complete: exports can run at the same time.
        outputs: Callable that maps the output of the model to a dictionary of
            tensors by name, each with the batch as its first axis. Defaults to
            the model's outputs, named by their keys if the model returns a
            dictionary, and by their layers otherwise.
        signatures: Dictionary of additional `Signature`s by name, such as
            `{"serving_default": encoded_image_signature(model, preprocess)}`.
        labels: List of strings, names of the classes. Adds the outputs
            `class_ids` and `labels` of the 5 highest `probabilities`.
        warmup: Dictionary from signature names to dictionaries of arrays by
            input name. Examples for the warm-up file, repeated to fill each
            batch size. Defaults to constant examples.
        batch_sizes: Sequence of integers, batch sizes the server may use. The
            warm-up file has one request per signature and batch size.
        fold_coordinates: Boolean, whether to replace CoordConv layers by plain
            convolutions first, see `keras_coordconv.fold_coordinates`.
        card: Dictionary of additional entries for the model card, such as
            `task`, `layer` and `metrics`.

    Returns:
        `pathlib.Path` of the folder of the version.

    Raises:
        ValueError: if an argument is invalid, if the version already exists, if
            two outputs have the same name, if the name of an input is not valid
            in TensorFlow, or if the backend of Keras is not TensorFlow. Nothing
            is written in these cases.
        RuntimeError: if the exported model cannot be loaded, or if its outputs
            differ from the Keras model's.
        ImportError: if `warmup` is given, but tensorflow-serving-api is not
            installed.

    Example:

    >>> export_for_serving(model, "saved_models/my_model")
    PosixPath('saved_models/my_model/1')
    """
    check_backend()
    base_path = pathlib.Path(base_path)
    path = version_path(base_path, version)
    signatures = {"tensor": tensor_signature(model), **(signatures or {})}
    outputs = outputs or outputs_by_name(model)
    if labels is not None:
        outputs = with_labels(outputs, labels)
    signatures.setdefault("serving_default", signatures["tensor"])
    _check_arguments(base_path, signatures, warmup, batch_sizes, card)
    exported = conversion.fold_coordinates(model) if fold_coordinates else model

    # A server ignores folders whose names are not numbers.
    with _files.scratch_path(path) as partial:
        archive = keras.export.ExportArchive()
        functions: dict[Any, Any] = {}
        endpoints = []
        for name, signature in signatures.items():
            # One function per signature, even if it has several names.
            function = functions.setdefault(
                id(signature), _endpoint(exported, signature, outputs)
            )
            endpoints.append(
                archive.add_endpoint(
                    name, function, input_signature=[signature.inputs]
                )
            )
        _track_tables(archive, endpoints)
        with _disk_errors(path):
            archive.write_out(str(partial), verbose=False)
            _write_warmup(partial, base_path, signatures, warmup, batch_sizes)
        _write_card(partial, base_path, model, batch_sizes, card)
        _check(partial, model, signatures, outputs, warmup)
        return publish_version(partial, base_path, version)


def check_backend():
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Exporting requires the TensorFlow backend of Keras. "
            f"Received: backend={keras.backend.backend()!r}. Save the model as "
            "a .keras file, load it with KERAS_BACKEND=tensorflow, and export "
            "it there."
        )


def publish_version(partial, base_path, version):
    """Rename a complete scratch folder to a version, and return its path."""
    while True:
        # Another process may have taken the number in the meantime.
        path = version_path(base_path, version)
        with contextlib.suppress(FileExistsError):
            _files.publish(partial, path)
            return path


@contextlib.contextmanager
def _disk_errors(path):
    """Raises TensorFlow's error for a full disk as an `OSError`."""
    try:
        yield
    except tf.errors.OpError as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if os.strerror(number) in str(error):
                reason = os.strerror(number)
                raise OSError(number, reason, str(path)) from error
        raise


def check_base_path(base_path):
    for path in (base_path, *base_path.parents):
        if path.is_dir():
            break
        if path.exists() or path.is_symlink():
            raise ValueError(
                "`base_path` must be a folder that exists or can be created. "
                f"Received: {path}, which is a file or a broken link"
            )
    check_model_name(base_path.resolve().name)


def _check_arguments(base_path, signatures, warmup, batch_sizes, card):
    check_base_path(base_path)
    for name, signature in signatures.items():
        check_input_names(list(signature.inputs))
        if not name or name.startswith("__") or not name.isprintable():
            raise ValueError(
                "A signature name must be a non-empty printable string that "
                "does not start with `__`. "
                f"Received: {name!r}"
            )
    for name, arrays in (warmup or {}).items():
        expected = set(signatures[name].inputs) if name in signatures else None
        if expected != set(arrays):
            raise ValueError(
                "`warmup` must map signatures to all of their inputs: "
                f"{ {key: list(s.inputs) for key, s in signatures.items()} }. "
                f"Received: {name!r} with {list(arrays)}."
            )
    if not batch_sizes or not all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0
        for size in batch_sizes
    ):
        raise ValueError(
            "`batch_sizes` must be positive integers. "
            f"Received: batch_sizes={batch_sizes!r}"
        )
    try:
        json.dumps(card)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`card` must be JSON serializable. Received: {error}"
        ) from error


def outputs_by_name(model):
    names = output_names(model)
    return lambda outputs: dict(
        zip(names, keras.tree.flatten(outputs), strict=True)
    )


def _endpoint(model, signature, outputs):
    names = input_names(model)
    structure = model.inputs[0]
    if not isinstance(model, keras.Sequential):
        structure = model.input

    def serve(inputs):
        tensors = signature.to_model_inputs(inputs)
        arguments = [tensors[name] for name in names]
        results = model(
            keras.tree.pack_sequence_as(structure, arguments), training=False
        )
        answer = outputs(results)
        others = {key: x for key, x in tensors.items() if key not in names}
        if not isinstance(answer, dict) or not all(
            isinstance(name, str) and name for name in answer
        ):
            raise ValueError(
                "`outputs` must return a dictionary with string keys. "
                f"Received: {answer!r}"
            )
        return {
            name: tf.cast(output, tf.float32)
            if output.dtype.is_floating
            else output
            for name, output in {**answer, **others}.items()
        }

    return serve


def _track_tables(archive, endpoints):
    """Track the lookup tables that the endpoints use.

    Layers and functions store tables in many ways, and an endpoint has only
    their handles. Therefore the handles of all tables in memory are compared.
    """
    handles = {
        id(handle)
        for endpoint in endpoints
        for handle in endpoint.get_concrete_function().captured_inputs
    }
    for thing in gc.get_objects():
        if (
            issubclass(
                type(thing), tf.saved_model.experimental.TrackableResource
            )
            and id(thing.resource_handle) in handles
        ):
            archive.track(thing)


def _write_warmup(folder, base_path, signatures, warmup, batch_sizes):
    requests = []
    for name, signature in signatures.items():
        for size in batch_sizes:
            arrays = signature.examples(size)
            if name in (warmup or {}):
                arrays = _repeat(warmup[name], arrays, size)
            requests.append((name, arrays))
    try:
        warmup_file.write_warmup(folder, base_path.resolve().name, requests)
    except ImportError as error:
        message = (
            "The warm-up file requires tensorflow-serving-api. "
            f"Received: {error}. Run: {install_command('serving')}"
        )
        if warmup:
            raise ImportError(message) from error
        warnings.warn(
            f"{message}. Exported without a warm-up file.", stacklevel=3
        )


def _repeat(given, examples, size):
    """Repeat a user's arrays to a batch size, with the examples' dtypes."""
    return {
        key: np.resize(array, (size, *np.shape(array)[1:])).astype(
            examples[key].dtype
        )
        for key, array in given.items()
    }


def _write_card(folder, base_path, model, batch_sizes, card):
    from keras_coordconv import __version__

    card = {
        "name": base_path.resolve().name,
        "date": datetime.date.today().isoformat(),
        "parameters": model.count_params(),
        **(card or {}),
        "batch_sizes": list(batch_sizes),
        "signatures": read_signatures(folder),
        "versions": {
            "keras_coordconv": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
    file = folder / MODEL_CARD
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _check(folder, model, signatures, outputs, warmup):
    """Compare the export, run in a new process, with the Keras model.

    The requests are random examples and the user's for the warm-up file.
    """
    random = np.random.default_rng(0)
    requests = [
        (name, signature.examples(size, random))
        for name, signature in signatures.items()
        for size in CHECKED_BATCH_SIZES
    ]
    for name, arrays in (warmup or {}).items():
        size = max(len(array) for array in arrays.values())
        examples = signatures[name].examples(size)
        requests.append((name, _repeat(arrays, examples, size)))
    replayed = warmup_file.read_warmup(folder)
    try:
        answers = check.predict_in_fresh_process(folder, [*requests, *replayed])
    except RuntimeError as error:
        raise RuntimeError(f"{error} Nothing was published.") from error
    compare(model, signatures, outputs, requests, answers[: len(requests)])


def compare(model, signatures, outputs, requests, answers):
    """Compare answers to requests with the Keras model's.

    If two calls of the Keras model differ, the output is random, and only its
    shape is compared.

    Raises:
        RuntimeError: if an answer differs.
    """
    tolerance = max(
        HALF_PRECISION.get(layer.compute_dtype, TOLERANCE)
        for layer in clone.all_layers(model)
    )
    for (name, arrays), found in zip(requests, answers, strict=True):
        serve = _endpoint(model, signatures[name], outputs)
        # The export runs on the CPU; a GPU rounds differently.
        with tf.device("CPU:0"):
            tensors = {key: tf.constant(x) for key, x in arrays.items()}
            right, other = (
                keras.tree.map_structure(np.array, serve(tensors))
                for _ in range(2)
            )
        for key, values in right.items():
            if found[key].shape != values.shape or (
                _are_close(other[key], values, tolerance)
                and not _are_close(found[key], values, tolerance)
            ):
                raise RuntimeError(
                    f"The exported model's output {key!r} differs from the "
                    f"Keras model's in signature {name!r}. Nothing was "
                    "published."
                )


def _are_close(values, expected, tolerance):
    # Integers are not compared: rounding may swap classes with equal scores.
    return not np.issubdtype(expected.dtype, np.floating) or np.allclose(
        values,
        expected,
        rtol=0,
        atol=tolerance * max(1, np.abs(expected).max(initial=0)),
        equal_nan=True,
    )
