"""From a trained model to a SavedModel that TensorFlow Serving loads."""

import datetime
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
from keras_coordconv.serving.versions import MODEL_CARD
from keras_coordconv.serving.versions import free_version

CHECKED_BATCH_SIZES = (1, 2, 7)
# How far an export may be off, in parts of its largest output.
TOLERANCE = 1e-5
# In half precision, each rounding takes up to a fourth of this from a number;
# a graph, in which TensorFlow joins operations, rounds at other places.
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
    batch_sizes: Sequence[int] = warmup_file.BATCH_SIZES,
    fold_coordinates: bool = False,
    card: Mapping[str, Any] | None = None,
) -> pathlib.Path:
    """Writes a model as `base_path/<version>/`, ready for TensorFlow Serving.

    The signature `tensor` takes the model's inputs by their names with any
    batch size, and returns float32 outputs by name. It is `serving_default` too
    where `signatures` names no other.

    The version is written beside its place, loaded in a fresh process as a
    server loads it, compared there with the Keras model, and then renamed: a
    server that watches `base_path` never sees half a model, nor one that does
    not answer. Of random outputs, only the shapes are compared.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        base_path: String or path, the folder of all versions of the model. Its
            name is the model's name on the server.
        version: Positive integer. Defaults to the next free one.
        outputs: Callable from what the model returns to a dictionary of
            tensors by name, each with the batch as its first axis. Defaults to
            the model's outputs by their keys, where the model returns a
            dictionary, and else by the names of their layers.
        signatures: Dictionary of further `Signature`s by name, such as
            `{"serving_default": encoded_image_signature(model)}`.
        labels: List of strings, the names of the classes. Adds `class_ids` and
            `labels` of the 5 highest `probabilities` to the outputs.
        warmup: Dictionary from a signature's name to a dictionary of arrays by
            input name: the examples of the warm-up file, repeated to each batch
            size. Defaults to constant ones.
        batch_sizes: Integers, the batch sizes that the server is to run. The
            warm-up file has a request of each for each signature.
        fold_coordinates: Boolean, whether to replace CoordConvs by plain
            convolutions first, see `keras_coordconv.fold_coordinates`.
        card: Dictionary of more entries of the model card, such as `task`,
            `layer` and `metrics`.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        ValueError: if an argument is not as said here, if the version exists
            already, if two outputs have the same name or TensorFlow cannot have
            the name of an input, or if Keras does not run on TensorFlow.
            Nothing is written then.
        RuntimeError: if the exported model does not load, or does not answer
            as the Keras model does.
        ImportError: if `warmup` is given, but tensorflow-serving-api is not
            installed.

    Example:

    >>> export_for_serving(model, "saved_models/my_model")
    PosixPath('saved_models/my_model/1')
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Export needs Keras on the TensorFlow backend. "
            f"Received: backend={keras.backend.backend()!r}. Save the model as "
            ".keras, load it with KERAS_BACKEND=tensorflow and export that."
        )
    base_path = pathlib.Path(base_path)
    path = base_path / str(free_version(base_path, version))
    signatures = {"tensor": tensor_signature(model), **(signatures or {})}
    outputs = outputs or _outputs_by_name(model)
    if labels is not None:
        outputs = with_labels(outputs, labels)
    signatures.setdefault("serving_default", signatures["tensor"])
    _check_arguments(base_path, signatures, warmup, batch_sizes, card)
    exported = conversion.fold_coordinates(model) if fold_coordinates else model

    # Servers only look at folders whose name is a number.
    with _files.atomic_write(path) as partial:
        archive = keras.export.ExportArchive()
        functions: dict[Any, Any] = {}
        endpoints = []
        for name, signature in signatures.items():
            # One function for all names of a signature.
            function = functions.setdefault(
                id(signature), _endpoint(exported, signature, outputs)
            )
            endpoints.append(
                archive.add_endpoint(
                    name, function, input_signature=[signature.inputs]
                )
            )
        _track_tables(archive, endpoints)
        archive.write_out(str(partial), verbose=False)
        _write_warmup(partial, base_path, signatures, warmup, batch_sizes)
        _write_card(partial, base_path, model, batch_sizes, card)
        _check(partial, model, signatures, outputs)
    return path


def _check_arguments(base_path, signatures, warmup, batch_sizes, card):
    for place in (base_path, *base_path.parents):
        if place.is_dir():
            break
        if place.exists() or place.is_symlink():
            raise ValueError(
                "The base path must be a folder, or not exist yet. "
                f"Received: {place}, which is a file or a broken link"
            )
    for name, signature in signatures.items():
        check_input_names(list(signature.inputs))
        if not name or name.startswith("__") or not name.isprintable():
            raise ValueError(
                "A signature must have a name that does not begin with __. "
                f"Received: {name!r}"
            )
    for name, arrays in (warmup or {}).items():
        expected = set(signatures[name].inputs) if name in signatures else None
        if expected != set(arrays):
            raise ValueError(
                "`warmup` must have the inputs of a signature: "
                f"{ {key: list(s.inputs) for key, s in signatures.items()} }. "
                f"Received: {name!r} with {list(arrays)}."
            )
    if not batch_sizes or not all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0
        for size in batch_sizes
    ):
        raise ValueError(
            "`batch_sizes` must be integers from 1 on. "
            f"Received: batch_sizes={batch_sizes!r}"
        )
    try:
        json.dumps(card)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`card` must be convertible to JSON. Received: {error}"
        ) from error


def _outputs_by_name(model):
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
        if not isinstance(answer, dict) or not all(
            isinstance(name, str) and name for name in answer
        ):
            raise ValueError(
                "`outputs` must return a dictionary of tensors by name. "
                f"Received: {answer!r}"
            )
        return {
            name: tf.cast(output, tf.float32)
            if output.dtype.is_floating
            else output
            for name, output in answer.items()
        }

    return serve


def _track_tables(archive, endpoints):
    """Adds the lookup tables that the endpoints use.

    Layers and functions hold them in many ways, and an endpoint knows only
    their handles. So the handles of all tables in memory are compared.
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
        given = (warmup or {}).get(name)
        for size in batch_sizes:
            arrays = signature.examples(size)
            if given is not None:
                arrays = {
                    key: np.resize(array, (size, *np.shape(array)[1:])).astype(
                        arrays[key].dtype
                    )
                    for key, array in given.items()
                }
            requests.append((name, arrays))
    try:
        warmup_file.write_warmup(folder, base_path.resolve().name, requests)
    except ImportError as error:
        message = (
            "A warm-up file needs the package tensorflow-serving-api. "
            f"Received: {error}. Run: pip install 'coordconv-keras[serving]'"
        )
        if warmup:
            raise ImportError(message) from error
        warnings.warn(f"{message}. Exported without.", stacklevel=3)


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
    file.write_text(json.dumps(card, indent=2) + "\n")


def _check(folder, model, signatures, outputs):
    """Compares the export, in a fresh process, with the Keras model.

    Of outputs that are random, which are not the same when the Keras model is
    asked twice, only the shapes are compared.
    """
    random = np.random.default_rng(0)
    tolerance = max(
        HALF_PRECISION.get(layer.compute_dtype, TOLERANCE)
        for layer in clone.all_layers(model)
    )
    requests, expected, again = [], [], []
    for name, signature in signatures.items():
        serve = _endpoint(model, signature, outputs)
        for size in CHECKED_BATCH_SIZES:
            arrays = signature.examples(size, random)
            requests.append((name, arrays))
            # Where the fresh process computes: a GPU rounds otherwise.
            with tf.device("CPU:0"):
                tensors = {key: tf.constant(x) for key, x in arrays.items()}
                for answers in (expected, again):
                    answer = serve(tensors)
                    answers.append(keras.tree.map_structure(np.array, answer))
    replayed = warmup_file.read_warmup(folder)
    try:
        answers = check.predict_in_fresh_process(folder, [*requests, *replayed])
    except RuntimeError as error:
        raise RuntimeError(f"{error} Nothing was published.") from error
    for (name, _), found, right, other in zip(
        requests, answers, expected, again, strict=False
    ):
        for key, values in right.items():
            if found[key].shape != values.shape or (
                _are_close(other[key], values, tolerance)
                and not _are_close(found[key], values, tolerance)
            ):
                raise RuntimeError(
                    "An export must answer as the Keras model does. Received: "
                    f"other values of {key!r} from signature {name!r}. Nothing "
                    "was published."
                )


def _are_close(values, expected, tolerance):
    # Classes may change places where two are equal but for rounding.
    return not np.issubdtype(expected.dtype, np.floating) or np.allclose(
        values,
        expected,
        rtol=0,
        atol=tolerance * max(1, np.abs(expected).max(initial=0)),
        equal_nan=True,
    )
