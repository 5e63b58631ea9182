"""Writes the model and batching configuration of TensorFlow Serving."""

import json
import os
import pathlib
from collections.abc import Mapping

from keras_coordconv import _files
from keras_coordconv.serving.versions import MODEL_CARD
from keras_coordconv.serving.versions import models
from keras_coordconv.serving.warmup import BATCH_SIZES


def write_config(
    folder: str | os.PathLike[str],
    server_path: str = "/models",
    version_labels: Mapping[str, Mapping[str, int]] | None = None,
    batch_threads: int = 2,
) -> pathlib.Path:
    """Write the server's configuration files for all models in a folder.

        models.config                        --model_config_file
        batching.config                      --batching_parameters_file
        <name>/<version>/batching_params.pbtxt
                                   --enable_per_model_batching_parameters

    Args:
        folder: String or path of the folder with `<name>/<version>/`.
        server_path: String, path of that folder on the server.
        version_labels: Nested dictionary `{model: {label: version}}`.
        batch_threads: Integer, number of batches to run in parallel.

    Returns:
        `pathlib.Path` of models.config.

    Raises:
        ValueError: if the folder has no models, a label refers to an unknown
            model or version, or the batch sizes in a model card are invalid.
        ImportError: if tensorflow-serving-api is not installed.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    folder = pathlib.Path(folder)
    found = models(folder)
    if not found:
        raise ValueError(
            f"No models found. Received: {folder}, which has no "
            "<name>/<version>/saved_model.pb. Export a model there first."
        )
    config = model_server_config_pb2.ModelServerConfig()
    for name, numbers in found.items():
        entry = config.model_config_list.config.add()
        entry.name = name
        entry.base_path = f"{server_path.rstrip('/')}/{name}"
        entry.model_platform = "tensorflow"
        labels = (version_labels or {}).get(name, {})
        entry.version_labels.update(labels)
        if labels:
            # By default, the server loads only the latest version.
            entry.model_version_policy.specific.versions.extend(
                sorted({*labels.values(), numbers[-1]})
            )
    for name, labels in (version_labels or {}).items():
        missing = set(labels.values()) - set(found.get(name, ()))
        if missing:
            raise ValueError(
                "Unknown model or version in `version_labels`. "
                f"Received: {name} {labels}. Available in {folder}: {found}."
            )
    for name, numbers in found.items():
        for number in numbers:
            version = folder / name / str(number)
            _files.write_text(
                version / "batching_params.pbtxt",
                batching_parameters(_batch_sizes(version), batch_threads),
            )
    _files.write_text(
        folder / "batching.config",
        batching_parameters(BATCH_SIZES, batch_threads),
    )
    path = folder / "models.config"
    _files.write_text(path, text_format.MessageToString(config))
    return path


def batching_parameters(batch_sizes, batch_threads):
    """Format the server's `BatchingParameters` as text.

    tensorflow-serving-api does not include that message.
    """
    lines = [
        f"max_batch_size {{ value: {max(batch_sizes)} }}",
        "batch_timeout_micros { value: 1000 }",
        "max_enqueued_batches { value: 100 }",
        f"num_batch_threads {{ value: {batch_threads} }}",
        *(f"allowed_batch_sizes: {size}" for size in sorted(batch_sizes)),
    ]
    return "\n".join(lines) + "\n"


def _batch_sizes(version):
    """Read and validate the batch sizes in a model card."""
    path = version / MODEL_CARD
    if not path.exists():
        return BATCH_SIZES
    try:
        sizes = json.loads(path.read_text(encoding="utf-8"))["batch_sizes"]
        good = all(type(size) is int and 0 < size < 2**31 for size in sizes)
    except (LookupError, RecursionError, TypeError, ValueError):
        sizes, good = None, False
    if not (good and sizes):
        raise ValueError(
            "`batch_sizes` in a model card must be positive integers. "
            f"Received: {path} with {sizes!r:.100}. Export the model again, or "
            "delete the card."
        )
    return sizes
