"""Runs a SavedModel as TensorFlow Serving does: with the session loader.

`predict_in_fresh_process` runs this file as a script, `python check.py FOLDER
REQUESTS ANSWERS`, in which Keras cannot be imported, as in a server. Therefore
this file imports nothing from the package.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

if __name__ == "__main__":
    # From here on, importing Keras raises an ImportError.
    sys.modules["keras"] = None  # type: ignore[assignment]

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import fingerprint_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting


def session_config():
    config = tf.compat.v1.ConfigProto()
    config.graph_options.optimizer_options.global_jit_level = (
        tf.compat.v1.OptimizerOptions.OFF
    )
    return config


def xla_nodes(graph_def):
    """Return the names of the nodes that only XLA can run."""
    functions = graph_def.library.function
    nodes = [*graph_def.node, *(n for f in functions for n in f.node_def)]
    compiled = [f.signature.name for f in functions if _must_compile(f.attr)]
    return compiled + [
        node.name
        for node in nodes
        if node.op.startswith("Xla") or _must_compile(node.attr)
    ]


def predict(folder, requests):
    """Run requests on a SavedModel with TensorFlow's session loader.

    Args:
        folder: String or path of the SavedModel.
        requests: Iterable of pairs `(signature, inputs)`: the name of a
            signature and a dictionary of arrays by input name.

    Returns:
        List of dictionaries of arrays by output name.

    Raises:
        ValueError: if the graph needs XLA, or if the signature is unknown or
            does not match the inputs.
    """
    with tf.compat.v1.Session(
        graph=tf.Graph(), config=session_config()
    ) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        xla = xla_nodes(session.graph.as_graph_def())
        if xla:
            raise ValueError(
                "The model needs XLA, which TensorFlow Serving disables. "
                f"Received: {folder}, with the XLA nodes "
                f"{', '.join(xla[:5])}. Export it without `jit_compile`."
            )
        answers = []
        for name, arrays in requests:
            signature = loaded.signature_def.get(name)
            if signature is None or set(arrays) != set(signature.inputs):
                raise ValueError(
                    "Unknown signature, or inputs that do not match it. "
                    f"Received: {name!r} with {list(arrays)}"
                )
            feed = {
                signature.inputs[key].name: array
                for key, array in arrays.items()
            }
            fetch = {key: x.name for key, x in signature.outputs.items()}
            answers.append(session.run(fetch, feed))
        return answers


def check_fingerprint(folder):
    """Check that a SavedModel matches its fingerprint.

    TensorFlow Serving does not compare them. Without a fingerprint, as before
    TensorFlow 2.12, nothing is checked.

    Raises:
        ValueError: if the fingerprint is damaged, or one of saved_model.pb and
            variables.index has changed.
    """
    file = pathlib.Path(folder, "fingerprint.pb")
    if not file.exists():
        return
    try:
        stored, found = (
            fingerprint_pb2.FingerprintDef.FromString(content)
            for content in (
                file.read_bytes(),
                fingerprinting.CreateFingerprintDef(str(folder)),
            )
        )
        found.uuid = stored.uuid  # A random number.
        is_same = stored == found
    except (message.DecodeError, fingerprinting.FingerprintException):
        is_same = False
    if not is_same:
        raise ValueError(
            "Could not verify the version: saved_model.pb, "
            "variables/variables.index or fingerprint.pb is damaged. "
            f"Received: {folder}. Export the model again."
        )


def predict_in_fresh_process(folder, requests):
    """Run `predict` in a new process that has neither Keras nor a GPU.

    Args:
        folder, requests: Passed to `predict`.

    Returns:
        The results of `predict`.

    Raises:
        RuntimeError: if the SavedModel cannot be loaded or run.
    """
    with tempfile.TemporaryDirectory() as scratch:
        requests_file = os.path.join(scratch, "requests.npz")
        answers_file = os.path.join(scratch, "answers.npz")
        _write(requests_file, requests)
        process = subprocess.run(
            [sys.executable, __file__, folder, requests_file, answers_file],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        if process.returncode:
            raise RuntimeError(
                "Could not load or run the model without Keras. Received: "
                f"{process.stdout.strip() or process.stderr.strip()[-2000:]}."
            )
        return [answer for _, answer in _read(answers_file)]


def reason_of(error):
    """Return the line of a TensorFlow error that says what is wrong.

    A heading may precede it, and details of the graph follow.
    """
    lines = [line.strip() for line in f"{error}".splitlines()]
    return next(
        (line for line in lines if line and line != "Graph execution error:"),
        repr(error),
    )


def _must_compile(attributes):
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b


def _write(file, items):
    """Write pairs of a name and a dictionary of arrays."""
    names = [(name, list(arrays)) for name, arrays in items]
    # As protocol buffers: NumPy files cannot store byte strings of any length.
    tensors = [
        np.frombuffer(tf.make_tensor_proto(array).SerializeToString(), "uint8")
        for _, arrays in items
        for array in arrays.values()
    ]
    np.savez(file, *tensors, names=json.dumps(names))


def _read(file):
    with np.load(file) as stored:
        names = json.loads(str(stored["names"]))
        tensors = (
            tf.make_ndarray(
                tensor_pb2.TensorProto.FromString(stored[f"arr_{i}"].tobytes())
            )
            for i in itertools.count()
        )
        return [
            (name, {key: next(tensors) for key in keys}) for name, keys in names
        ]


def main(folder, requests_file, answers_file):
    requests = _read(requests_file)
    try:
        answers = predict(folder, requests)
    except Exception as error:
        print(reason_of(error))
        return 1
    _write(answers_file, [("", answer) for answer in answers])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
