"""The files that tell TensorFlow Serving what to serve and how to batch."""

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
    """Writes the server's files for all models below a folder.

        models.config                        --model_config_file
        batching.config                      --batching_parameters_file
        <name>/<version>/batching_params.pbtxt
                                   --enable_per_model_batching_parameters

    Args:
        folder: String or path that holds `<name>/<version>/`.
        server_path: String, where the server sees that folder.
        version_labels: Dictionary from a model's name to a dictionary from a
            label to a version.
        batch_threads: Integer, batches that are run at the same time.

    Returns:
        `pathlib.Path` of models.config.

    Raises:
        ValueError: if there is no model below the folder, a label names a
            model or version that is not there, or a model card has no batch
            sizes.
        ImportError: without the package tensorflow-serving-api.
    """
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    folder = pathlib.Path(folder)
    found = models(folder)
    if not found:
        raise ValueError(
            "A folder to serve must hold <name>/<version>/saved_model.pb. "
            f"Received: {folder}, which has none. Export a model there."
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
            # Without a policy, the server keeps only the newest version.
            entry.model_version_policy.specific.versions.extend(
                sorted({*labels.values(), numbers[-1]})
            )
    for name, labels in (version_labels or {}).items():
        missing = set(labels.values()) - set(found.get(name, ()))
        if missing:
            raise ValueError(
                "A label must name a version that is there. "
                f"Received: {name} {labels}; {folder} has "
                f"{found.get(name, 'no such model')}."
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
    """The server's BatchingParameters as text.

    That message is not in tensorflow-serving-api; the text is written by hand.
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
    """Batch sizes of a model card: whoever wrote it, numbers only."""
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
            "A model card must have `batch_sizes`, integers from 1 on. "
            f"Received: {path} with {sizes!r:.100}. Export the model anew, or "
            "remove its card."
        )
    return sizes
