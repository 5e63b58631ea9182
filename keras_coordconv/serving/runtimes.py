"""Exports a trained model for ONNX Runtime and OpenVINO, and their servers."""

import importlib
import os
import pathlib

import keras
import numpy as np

from keras_coordconv import _files
from keras_coordconv._install import install_command
from keras_coordconv.serving import export
from keras_coordconv.serving.signatures import input_names
from keras_coordconv.serving.signatures import tensor_signature
from keras_coordconv.serving.versions import BATCH_SIZES
from keras_coordconv.serving.versions import version_path

# The names of Triton's backends, and the packages that exporting needs.
_BACKENDS = {"onnx": "onnxruntime", "openvino": "openvino"}
_PACKAGES = {
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "openvino": ("onnx", "tf2onnx", "openvino"),
}


def export_for_runtime(
    model: keras.Model,
    base_path: str | os.PathLike[str],
    version: int | None = None,
    *,
    format: str,
) -> pathlib.Path:
    """Export a model to `base_path/<version>/` as ONNX or for OpenVINO.

    NVIDIA Triton and OpenVINO Model Server read this layout. The version folder
    contains `model.onnx`, or `model.xml` and `model.bin`. The inputs and
    outputs have the model's names, and the batch size is free. Before a version
    is published, its outputs are compared with the Keras model's.

    If there is no `base_path/config.pbtxt`, one is written for Triton: without
    it, Triton accepts at most 4 examples per request, with it 32.

    The coordinates are not folded: both runtimes fold constants themselves.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        base_path: String or path of the folder with all versions of the model.
            The name of the folder is the model's name on the server.
        version: Positive integer. Defaults to the next version.
        format: String, `"onnx"` or `"openvino"`.

    Returns:
        `pathlib.Path` of the folder of the version.

    Raises:
        ValueError: if an argument is invalid, if the version already exists, if
            two outputs have the same name, or if the backend of Keras is not
            TensorFlow. Nothing is written in these cases.
        RuntimeError: if the outputs differ from the Keras model's. Nothing is
            published in this case.
        ImportError: if a package for the format is not installed.

    Example:

    >>> export_for_runtime(model, "served/my_model", format="onnx")
    PosixPath('served/my_model/1')
    """
    export.check_backend()
    if format not in _BACKENDS:
        raise ValueError(
            "`format` must be 'onnx' or 'openvino'. "
            f"Received: format={format!r}"
        )
    for package in _PACKAGES[format]:
        _check_package(package)
    base_path = pathlib.Path(base_path)
    path = version_path(base_path, version)
    export.check_base_path(base_path)
    signature = tensor_signature(model)
    outputs = export.outputs_by_name(model)
    named = _named_model(model, outputs)
    # Keras exports only models that have been called.
    named(signature.examples(1))

    with _files.scratch_path(path) as partial:
        partial.mkdir()
        file = partial / "model.onnx"
        named.export(file, format="onnx", verbose=False)
        if format == "openvino":
            file = _convert_to_openvino(file)
        random = np.random.default_rng(0)
        requests = [
            ("tensor", signature.examples(size, random))
            for size in export.CHECKED_BATCH_SIZES
        ]
        predict = _open(file)
        answers = [predict(arrays) for _, arrays in requests]
        signatures = {"tensor": signature}
        export.compare(model, signatures, outputs, requests, answers)
        published = export.publish_version(partial, base_path, version)
    config = base_path / "config.pbtxt"
    if not config.exists():
        _files.write_text(
            config,
            f'backend: "{_BACKENDS[format]}"\n'
            f"max_batch_size: {max(BATCH_SIZES)}\n",
        )
    return published


def _check_package(name):
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Exporting requires {name}. Received: {error}. "
            f"Run: {install_command('onnx')}"
        ) from error


def _named_model(model, outputs):
    """Wrap a model so that its inputs and outputs have names."""
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in zip(input_names(model), model.inputs, strict=True)
    }
    structure, answer = model.inputs[0], model.outputs[0]
    if not isinstance(model, keras.Sequential):
        structure, answer = model.input, model.output
    packed = keras.tree.pack_sequence_as(structure, list(inputs.values()))
    # No input may have the name of a layer, such as the model's.
    same = keras.Model(structure, answer, name="_".join(["model", *inputs]))
    answer = outputs(same(packed, training=False))
    return keras.Model(
        inputs,
        {
            name: keras.ops.cast(x, "float32")
            if keras.backend.is_float_dtype(x.dtype)
            else x
            for name, x in answer.items()
        },
    )


def _convert_to_openvino(file):
    import openvino

    converted = openvino.convert_model(file)
    openvino.save_model(
        converted, file.with_suffix(".xml"), compress_to_fp16=False
    )
    file.unlink()
    return file.with_suffix(".xml")


def _open(file):
    """Load a model file, and return a function of named arrays."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(
            file, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return lambda arrays: dict(
            zip(names, session.run(names, arrays), strict=True)
        )
    import openvino

    # Where the processor has bfloat16, OpenVINO computes in that by default.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(file, "CPU", settings)
    return lambda arrays: {
        output.any_name: values for output, values in compiled(arrays).items()
    }
