"""Asks a SavedModel as TensorFlow Serving does: by TensorFlow's session loader.

Run as a program of its own, `python check.py FOLDER REQUESTS ANSWERS`, without
Keras, so that nothing of the exporting process helps. It imports nothing of
this package.
"""

import json
import sys

if __name__ == "__main__":
    # Whoever imports Keras from here on gets an ImportError.
    sys.modules["keras"] = None

import numpy as np
import tensorflow as tf


def session_config():
    config = tf.compat.v1.ConfigProto()
    config.graph_options.optimizer_options.global_jit_level = (
        tf.compat.v1.OptimizerOptions.OFF
    )
    return config


def xla_nodes(graph_def):
    """Names of the nodes that only XLA can run."""
    functions = graph_def.library.function
    nodes = [*graph_def.node, *(n for f in functions for n in f.node_def)]
    compiled = [f.signature.name for f in functions if _must_compile(f.attr)]
    return compiled + [
        node.name
        for node in nodes
        if node.op.startswith("Xla") or _must_compile(node.attr)
    ]


def ask(folder, requests):
    """The answers to requests, through TensorFlow's session loader.

    Args:
        folder: String or path of the SavedModel.
        requests: Iterable of pairs of a signature's name and a dictionary of
            arrays by input name.

    Returns:
        List of dictionaries of arrays by output name.

    Raises:
        ValueError: if the graph needs XLA.
    """
    with tf.compat.v1.Session(
        graph=tf.Graph(), config=session_config()
    ) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        xla = xla_nodes(session.graph.as_graph_def())
        if xla:
            raise ValueError(
                "A served model must run without XLA. "
                f"Received: {folder}, where {', '.join(xla[:5])} cannot."
            )
        answers = []
        for name, arrays in requests:
            signature = loaded.signature_def[name]
            feed = {
                signature.inputs[key].name: array
                for key, array in arrays.items()
            }
            fetch = {key: x.name for key, x in signature.outputs.items()}
            answers.append(session.run(fetch, feed))
        return answers


def open_version(folder, signature):
    """A version in a session that stays open.

    Returns:
        Function from a dictionary of arrays to one of arrays, and the table of
        the signature as `ServingClient.metadata` gives it.
    """
    session = tf.compat.v1.Session(graph=tf.Graph(), config=session_config())
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
    definition = loaded.signature_def[signature]
    names = {key: x.name for key, x in definition.inputs.items()}
    fetch = {key: x.name for key, x in definition.outputs.items()}
    table = {
        side: {
            key: {
                "dtype": np.dtype(tf.as_dtype(x.dtype).as_numpy_dtype).name,
                "shape": [axis.size for axis in x.tensor_shape.dim],
            }
            for key, x in getattr(definition, side).items()
        }
        for side in ("inputs", "outputs")
    }

    def call(inputs):
        feed = {names[key]: array for key, array in inputs.items()}
        return session.run(fetch, feed)

    return call, table


def _must_compile(attributes):
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b


def main(folder, requests_file, answers_file):
    with np.load(requests_file, allow_pickle=True) as arrays:
        count = int(arrays["count"])
        requests = [arrays[str(index)].item() for index in range(count)]
    requests = [(item["signature"], item["inputs"]) for item in requests]
    try:
        answers = ask(folder, requests)
    except Exception as error:
        print(json.dumps({"error": f"{error}"}))
        return 1
    np.savez(
        answers_file,
        **{
            str(index): np.array(answer, object)
            for index, answer in enumerate(answers)
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
