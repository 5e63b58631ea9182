"""Benchmark: how many examples a second served models answer.

    python examples/benchmark_serving.py saved_models/rendering/1 \\
        http://localhost:8501/rendering grpc://localhost:8500/rendering

A target is a version's folder, which TensorFlow's session loader runs, or a
model on a server. The targets are asked in turns, so that what else the machine
does hits all alike. Reported are medians, and the median of the ratios to the
first target in the same turn.
"""

import startup  # noqa: F401, before the rest

import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf

from keras_coordconv import _files
from keras_coordconv.experiments.training import arguments
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import check
from keras_coordconv.serving.signatures import read_signatures


def open_target(name, signature):
    """A target that stays open.

    Args:
        name: String, `<name>/<version>`, or the address of a model.
        signature: String, the name of a signature.

    Returns:
        Function from a dictionary of arrays to the answer, and the
        specifications of the inputs by name.
    """
    if "://" in name:
        address, model = name.rsplit("/", 1)
        client = ServingClient(address, timeout=60)
        table = client.metadata(model)

        def predict(inputs):
            return client.predict(model, inputs, signature)

    else:
        table = read_signatures(name)
        predict = open_version(name, signature)
    if signature not in table:
        raise ValueError(
            "A target must have the signature that is asked. Received: "
            f"{signature!r}; {name} has {', '.join(table)}."
        )
    return predict, table[signature]["inputs"]


def open_version(folder, signature):
    """Function that asks a version in a session that stays open."""
    session = tf.compat.v1.Session(
        graph=tf.Graph(), config=check.session_config()
    )
    with session.graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)

    def predict(inputs):
        definition = loaded.signature_def[signature]
        return session.run(
            {key: x.name for key, x in definition.outputs.items()},
            {definition.inputs[key].name: x for key, x in inputs.items()},
        )

    return predict


def examples(specs, batch_size, image):
    """Random arrays for a signature, or an image file repeated."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, spec in specs.items():
        if spec["dtype"] == "string":
            if image is None:
                raise ValueError(
                    "A signature of image files needs one to ask with. "
                    f"Received: no --image for the input {name!r}."
                )
            content = pathlib.Path(image).read_bytes()
            arrays[name] = np.array([content] * batch_size, object)
        else:
            shape = [32 if size is None else size for size in spec["shape"][1:]]
            numbers = random.uniform(0, 1, (batch_size, *shape))
            arrays[name] = numbers.astype(spec["dtype"])
    return arrays


def measure(calls, turns):
    """Seconds of each call in each turn, of shape `(calls, turns)`."""
    for predict, inputs in calls:
        predict(inputs)  # The first call compiles and allocates.
    seconds = np.zeros((len(calls), turns))
    for turn in range(turns):
        for index, (predict, inputs) in enumerate(calls):
            start = time.perf_counter()
            predict(inputs)
            seconds[index, turn] = time.perf_counter() - start
    return seconds


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument(
        "targets",
        nargs="+",
        help="<name>/<version>, http://host:8501/NAME or grpc://host:8500/NAME",
    )
    parser.add_argument(
        "--signature",
        default="serving_default",
        help="signature that is asked (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-sizes",
        type=arguments.positive_integer,
        nargs="+",
        default=[1, 32],
        help="examples in a request (default: 1 and 32)",
    )
    parser.add_argument(
        "--turns",
        type=arguments.positive_integer,
        default=20,
        help="how many times each target is asked (default: %(default)s)",
    )
    parser.add_argument(
        "--image", help="JPEG or PNG, for signatures of image files"
    )
    parser.add_argument(
        "--output",
        default="runs/benchmark_serving",
        help="folder for results.json (default: %(default)s)",
    )
    return parser


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    results = []
    try:
        targets = [open_target(name, args.signature) for name in args.targets]
        for size in args.batch_sizes:
            seconds = measure(
                [
                    (predict, examples(specs, size, args.image))
                    for predict, specs in targets
                ],
                args.turns,
            )
            for name, times in zip(args.targets, seconds, strict=True):
                median = statistics.median(times)
                ratio = statistics.median(times / seconds[0])
                results.append(
                    {
                        "target": name,
                        "batch_size": size,
                        "seconds": median,
                        "examples_per_second": size / median,
                        "ratio": ratio,
                    }
                )
                print(
                    f"batch {size:3d}  {1e3 * median:9.2f} ms  "
                    f"{size / median:9.1f} examples/s  {ratio:5.3f} x  {name}"
                )
    except tf.errors.OpError as error:
        raise ValueError(
            "A version must load and answer. "
            f"Received: {error.message.splitlines()[0]}"
        ) from error
    path = pathlib.Path(args.output, "results.json")
    _files.write_json(path, results)
    print(f"written: {path}")
    return results


if __name__ == "__main__":
    main()
