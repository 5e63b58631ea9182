"""Benchmark: examples per second of served models.

    python examples/benchmark_serving.py saved_models/rendering/1 \\
        http://localhost:8501/rendering grpc://localhost:8500/rendering

A target is the folder of a version, which runs in TensorFlow's session loader,
or a model on a server. The targets take turns, so that background load affects
all of them equally. The results are medians, and the median of the ratios to
the first target in the same turn.
"""

import startup  # noqa: F401, before the rest

import functools
import pathlib

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import check
from keras_coordconv.serving.signatures import read_signatures

NAME = "benchmark_serving"


def open_target(name, signature):
    """Opens a target for repeated requests.

    Args:
        name: String, `<name>/<version>` or the address of a model.
        signature: String, name of a signature.

    Returns:
        Tuple of a callable that maps a dictionary of inputs to the outputs, and
        a dictionary of the input specifications by name.
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
            f"Unknown signature. Received: {signature!r}. Available in {name}: "
            f"{', '.join(table)}"
        )
    return predict, table[signature]["inputs"]


def open_version(folder, signature):
    """Loads a version and returns a function that runs it."""
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
    """Makes random arrays for a signature, or repeats an image file."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, spec in specs.items():
        if spec["dtype"] == "string":
            if image is None:
                raise ValueError(
                    "The signature takes image files: pass one with --image. "
                    f"Received: no --image for the input {name!r}"
                )
            content = pathlib.Path(image).read_bytes()
            arrays[name] = np.array([content] * batch_size, object)
        else:
            shape = [32 if size is None else size for size in spec["shape"][1:]]
            numbers = random.uniform(0, 1, (batch_size, *shape))
            arrays[name] = numbers.astype(spec["dtype"])
    return arrays


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "targets",
        nargs="+",
        help="<name>/<version>, http://host:8501/NAME or grpc://host:8500/NAME",
    )
    parser.add_argument(
        "--signature",
        default="serving_default",
        help="signature to call (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-sizes",
        type=flags.positive_integer,
        nargs="+",
        default=[1, 32],
        help="numbers of examples per request (default: 1 and 32)",
    )
    parser.add_argument(
        "--image", help="JPEG or PNG file, for signatures that take image files"
    )
    benchmarking.add_flags(parser, NAME, turns=20)
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    output = benchmarking.make_output(args)
    rows = []
    try:
        targets = [open_target(name, args.signature) for name in args.targets]
        for size in args.batch_sizes:
            calls = [
                functools.partial(predict, examples(specs, size, args.image))
                for predict, specs in targets
            ]
            for call in calls:
                call()  # The first call compiles and allocates.
            seconds = benchmarking.measure_in_turns(
                dict(enumerate(map(benchmarking.timed, calls))), args.turns
            )
            for index, name in enumerate(args.targets):
                median = float(np.median(seconds[index]))
                ratio = benchmarking.median_ratio(seconds[index], seconds[0])
                rows.append(
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
            "Could not load or run the model version. "
            f"Received: {error.message.splitlines()[0]}"
        ) from error
    return benchmarking.write_results(output, args, rows)


if __name__ == "__main__":
    main()
