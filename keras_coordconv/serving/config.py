"""Writes the model and batching configuration of TensorFlow Serving."""

import os
import pathlib
from collections.abc import Mapping

from keras_coordconv import _files
from keras_coordconv.serving.versions import BATCH_SIZES
from keras_coordconv.serving.versions import check_model_name
from keras_coordconv.serving.versions import models
from keras_coordconv.serving.versions import read_card


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
        ValueError: if an argument is invalid, the folder has no models, a label
            refers to an unknown model or version, or a model card is damaged.
            Nothing is written in these cases.
    """
    version_labels = {} if version_labels is None else version_labels
    _check_arguments(server_path, version_labels, batch_threads)
    folder = pathlib.Path(folder)
    found = models(folder)
    if not found:
        raise ValueError(
            f"No models found. Received: {folder}, which has no "
            "<name>/<version>/saved_model.pb. Export a model there first."
        )
    for name in found:
        check_model_name(name)
    for name, labels in version_labels.items():
        missing = set(labels.values()) - set(found.get(name, ()))
        if missing:
            raise ValueError(
                "Unknown model or version in `version_labels`. "
                f"Received: {name} {labels}. Available in {folder}: {found}."
            )
    paths = [
        folder / name / str(number)
        for name, numbers in found.items()
        for number in numbers
    ]
    cards = [read_card(path) for path in paths]
    for path, card in zip(paths, cards, strict=True):
        _files.write_text(
            path / "batching_params.pbtxt",
            batching_parameters(
                card.get("batch_sizes", BATCH_SIZES), batch_threads
            ),
        )
    _files.write_text(
        folder / "batching.config",
        batching_parameters(BATCH_SIZES, batch_threads),
    )
    path = folder / "models.config"
    entries = [
        _model_entry(name, numbers[-1], server_path, version_labels.get(name))
        for name, numbers in found.items()
    ]
    _files.write_text(path, "model_config_list {\n" + "".join(entries) + "}\n")
    return path


def _model_entry(name, latest, server_path, labels):
    """Format one model of the server's `ModelServerConfig` as text."""
    base_path = f"{server_path.rstrip('/')}/{name}"
    lines = [
        f"name: {_quoted(name)}",
        f"base_path: {_quoted(base_path)}",
        'model_platform: "tensorflow"',
    ]
    if labels:
        # By default, the server loads only the latest version.
        numbers = sorted({*labels.values(), latest})
        lines.append(
            f"model_version_policy {{ specific {{ versions: {numbers} }} }}"
        )
        lines += [
            f"version_labels {{ key: {_quoted(label)} value: {number} }}"
            for label, number in labels.items()
        ]
    body = "".join(f"    {line}\n" for line in lines)
    return f"  config {{\n{body}  }}\n"


def _quoted(text):
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


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


def _check_arguments(server_path, version_labels, batch_threads):
    if (
        not isinstance(server_path, str)
        or not server_path.strip()
        or not server_path.isprintable()
    ):
        raise ValueError(
            "`server_path` must be a non-empty printable string. "
            f"Received: server_path={server_path!r}"
        )
    if type(batch_threads) is not int or not 0 < batch_threads < 2**31:
        raise ValueError(
            "`batch_threads` must be an integer from 1 to 2^31 - 1. "
            f"Received: batch_threads={batch_threads!r}"
        )
    if not isinstance(version_labels, Mapping) or not all(
        isinstance(labels, Mapping)
        and all(
            isinstance(label, str)
            and label
            and label.isprintable()
            and type(version) is int
            for label, version in labels.items()
        )
        for labels in version_labels.values()
    ):
        raise ValueError(
            "`version_labels` must have the form {model: {label: version}}, "
            "where labels are non-empty printable strings and versions "
            f"integers. Received: version_labels={version_labels!r}"
        )
