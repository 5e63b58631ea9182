"""From a trained model to a SavedModel that TensorFlow Serving loads."""

import os
import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf


def export_for_serving(model, base_path, version=None, outputs=None):
    """Writes a model as `base_path/<version>/`, ready for TensorFlow Serving.

    The one signature, `serving_default`, takes the model's inputs by their
    names with any batch size, and returns float32 outputs by name. The folder
    is written beside its place and then renamed: a server that watches
    `base_path` never sees half a model.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        base_path: String or path, the folder of all versions of the model.
        version: Positive integer. Defaults to the next free one.
        outputs: Callable from what the model returns to a dictionary of
            tensors by name, each with the batch as its first axis. Defaults to
            the model's outputs by the names of their layers.

    Returns:
        `pathlib.Path` of the version's folder.

    Raises:
        ValueError: if the version exists already, if it is not a positive
            integer, if two outputs have the same name, or if Keras does not run
            on TensorFlow.

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
    if version is None:
        version = next_version(base_path)
    elif not isinstance(version, int) or version < 1:
        raise ValueError(
            f"`version` must be a positive integer. Received: version={version}"
        )
    path = base_path / str(version)
    if path.exists():
        raise ValueError(
            "A published version is never changed. "
            f"Received: version={version}, which {base_path} has. "
            "Leave `version` out to get the next one."
        )
    outputs = outputs or _outputs_by_name(model)

    def serve(inputs):
        arguments = [inputs[tensor.name] for tensor in model.inputs]
        results = model(
            arguments[0] if len(arguments) == 1 else arguments, training=False
        )
        return {
            name: tf.cast(output, tf.float32)
            if output.dtype.is_floating
            else output
            for name, output in outputs(results).items()
        }

    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default", serve, input_signature=[_input_specs(model)]
    )
    base_path.mkdir(parents=True, exist_ok=True)
    # Servers only look at folders whose name is a number.
    partial = pathlib.Path(tempfile.mkdtemp(prefix="partial-", dir=base_path))
    try:
        archive.write_out(str(partial), verbose=False)
        _flush_to_disk(partial)
        partial.chmod(0o755)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _flush(base_path)
    return path


def next_version(base_path):
    """The number after the highest version below a folder."""
    base_path = pathlib.Path(base_path)
    names = base_path.iterdir() if base_path.is_dir() else ()
    versions = [int(path.name) for path in names if path.name.isdecimal()]
    return max(versions, default=0) + 1


def _input_specs(model):
    return {
        tensor.name: tf.TensorSpec(
            (None, *tensor.shape[1:]), tensor.dtype, name=tensor.name
        )
        for tensor in model.inputs
    }


def _outputs_by_name(model):
    if isinstance(model, keras.Sequential):
        names = [model.layers[-1].name]
    else:
        names = model.output_names
    if len(set(names)) < len(names):
        raise ValueError(
            "The outputs of a served model must have different names. "
            f"Received: a model with the outputs {names}. "
            "Name them with `outputs`."
        )
    return lambda outputs: dict(
        zip(names, keras.tree.flatten(outputs), strict=True)
    )


def _flush_to_disk(folder):
    for root, _, names in os.walk(folder):
        for path in [root, *(os.path.join(root, name) for name in names)]:
            _flush(path)


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
