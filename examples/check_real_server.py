"""Everything that this project says about TensorFlow Serving, on a real one.

    docker compose up --detach
    python examples/check_real_server.py http://localhost:8501

docs/serving.md has the compose file. The server must serve the folder of
--saved-models; add its gRPC address to check that too. For each model and
signature, the server's status and metadata must be those of the files, and its
predictions those of the files run here: named columns and rows by REST, and
gRPC. Needs
`pip install '.[experiments,serving]'`.
"""

import startup  # noqa: F401, before the rest

import pathlib
import time

import numpy as np
import tensorflow as tf

from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError
from keras_coordconv.serving import check
from keras_coordconv.serving import signatures
from keras_coordconv.serving import versions

NAME = "check_real_server"
SAVED_MODELS = pathlib.Path(__file__).parents[1] / "saved_models"
BATCH_SIZE = 3
# Two builds of TensorFlow round differently.
TOLERANCE = 1e-4


def random_requests(version):
    """Makes a request with random numbers for each signature of a version."""
    random = np.random.default_rng(0)

    def example(array):
        array = np.repeat(array, BATCH_SIZE, axis=0)
        if array.dtype == object:  # Encoded images.
            shape = tf.io.decode_png(array[0]).shape
            return np.array(
                [
                    tf.io.encode_png(
                        random.integers(0, 256, shape, "uint8")
                    ).numpy()
                    for _ in array
                ],
                object,
            )
        if np.issubdtype(array.dtype, np.floating):
            array = random.uniform(0, 1, array.shape).astype(array.dtype)
        return array

    return [
        (name, {key: example(array) for key, array in arrays.items()})
        for name, arrays in signatures.constant_requests(version)
    ]


def difference(answer, expected):
    """Returns the largest difference of floats, relative to the largest one.

    Classes and encoded images are not compared: they may jump where scores are
    equal.
    """
    if set(answer) != set(expected):
        raise ValueError(f"outputs {sorted(answer)}, not {sorted(expected)}")
    found = [0.0]
    for name, values in expected.items():
        if answer[name].shape != values.shape:
            raise ValueError(f"{name} has shape {answer[name].shape}")
        if np.issubdtype(values.dtype, np.floating):
            scale = max(1, np.abs(values).max(initial=0))
            found.append(float(np.abs(answer[name] - values).max()) / scale)
    return max(found)


def check_version(addresses, version):
    """Compares one version on the server with its files; yields rows."""
    model, number = version.parent.name, int(version.name)
    table = signatures.read_signatures(version)
    requests = random_requests(version)
    expected = check.predict_in_fresh_process(version, requests)
    for address in addresses:
        with ServingClient(address, timeout=60) as client:
            row = {"address": address, "model": model, "version": number}
            status = client.status(model)
            yield {
                **row,
                "what": "status",
                "good": "AVAILABLE" in status.values(),
            }
            found = client.metadata(model, number)
            yield {**row, "what": "metadata", "good": found == table}
            for rows in (False, True):
                if rows and address.startswith("grpc"):
                    continue
                for (name, arrays), right in zip(
                    requests, expected, strict=True
                ):
                    answer = client.predict(
                        model, arrays, name, number, rows=rows
                    )
                    error = difference(answer, right)
                    what = f"{name} in {'rows' if rows else 'columns'}"
                    yield {
                        **row,
                        "what": what,
                        "difference": error,
                        "good": error <= TOLERANCE,
                    }


def check_all(addresses, folder, found):
    """Compares all models on the server with their files; yields rows."""
    for name, numbers in found.items():
        # The server loads only the latest version.
        yield from check_version(addresses, folder / name / str(numbers[-1]))
    yield from check_errors(addresses)


def check_errors(addresses):
    """Asks for a model that the server does not have."""
    for address in addresses:
        status = None
        with ServingClient(address, retries=0) as client:
            try:
                client.predict("no_such_model", {"x": [1.0]})
            except ServingError as error:
                status = error.status
        yield {
            "address": address,
            "what": "unknown model",
            "good": status in (404, "NOT_FOUND"),
        }


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "addresses",
        nargs="+",
        help="http://host:8501, grpc://host:8500, or both",
    )
    parser.add_argument(
        "--saved-models",
        default=SAVED_MODELS,
        type=pathlib.Path,
        help="the served folder (default: the repository's)",
    )
    benchmarking.add_output(parser, NAME)
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    found = versions.models(args.saved_models)
    if not found:
        raise ValueError(
            f"No models found. Received: --saved-models {args.saved_models}"
        )
    output = benchmarking.make_output(args)
    rows = []
    for row in check_all(args.addresses, args.saved_models, found):
        rows.append(row)
        print(*row.values())
    del args.saved_models
    results = benchmarking.write_results(
        output, args, rows, date=time.strftime("%Y-%m-%d"), tolerance=TOLERANCE
    )
    failed = [row for row in rows if not row["good"]]
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(rows)} checks failed. First: {failed[0]}"
        )
    print(f"all {len(rows)} checks passed")
    return results


if __name__ == "__main__":
    main()
