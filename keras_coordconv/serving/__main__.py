"""Serving from the shell: python -m keras_coordconv.serving COMMAND --help

export   a .keras file to the next version below a folder
check    load a version as a server does and replay its warm-up
config   write models.config and the batching files for a folder
predict  ask a server
bench    time versions and servers against each other, in turns
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import numpy as np

from keras_coordconv import files


def build_parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_coordconv.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    export = commands.add_parser("export", help="a .keras file to a version")
    export.add_argument("model", help="file.keras")
    export.add_argument("base_path", help="folder of the model's versions")
    export.add_argument("--version", type=int, help="default: the next free")
    export.add_argument("--labels", help="file with a class name a line")
    export.add_argument(
        "--images",
        action="store_true",
        help="add a signature that takes JPEG and PNG files, as the default",
    )
    export.add_argument(
        "--fold-coordinates",
        action="store_true",
        help="replace CoordConvs by plain convolutions and an addition",
    )

    check = commands.add_parser("check", help="load and replay the warm-up")
    check.add_argument("folder", help="<name>/<version>")

    config = commands.add_parser("config", help="write the server's files")
    config.add_argument("folder", help="holds <name>/<version>")
    config.add_argument(
        "--server-path",
        default="/models",
        help="where the server sees the folder (default: %(default)s)",
    )

    predict = commands.add_parser("predict", help="ask a server")
    predict.add_argument("address", help="http://host:8501 or grpc://host:8500")
    predict.add_argument("model", help="its name on the server")
    predict.add_argument(
        "inputs",
        help="JSON, as '{\"location\": [[40, 22]]}', or image files",
        nargs="+",
    )
    predict.add_argument("--signature", default="serving_default")
    predict.add_argument("--version", type=int)
    predict.add_argument("--label")
    predict.add_argument("--timeout", type=float, default=10.0, help="seconds")

    bench = commands.add_parser(
        "bench",
        help="time versions and servers against each other",
        description="Asks the targets in turns; prints medians, and ratios to "
        "the first target, turn by turn.",
    )
    bench.add_argument(
        "targets",
        nargs="+",
        help="<name>/<version> for TensorFlow's session loader, or "
        "http://host:8501/NAME, or grpc://host:8500/NAME",
    )
    bench.add_argument("--signature", default="serving_default")
    bench.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 32])
    bench.add_argument("--turns", type=int, default=20)
    bench.add_argument("--image", help="JPEG or PNG for signatures of files")
    bench.add_argument("--json", help="write the numbers to this file")
    return parser


def run_export(args):
    import keras

    import keras_coordconv  # noqa: F401 (registers the layers)
    from keras_coordconv import serving

    model = keras.saving.load_model(args.model, compile=False)
    labels = (
        pathlib.Path(args.labels).read_text().splitlines()
        if args.labels
        else None
    )
    signatures = (
        {"serving_default": serving.encoded_image_signature(model)}
        if args.images
        else None
    )
    path = serving.export_for_serving(
        model,
        args.base_path,
        args.version,
        labels=labels,
        signatures=signatures,
        fold_coordinates=args.fold_coordinates,
    )
    print(path)


def run_check(args):
    from keras_coordconv.serving import export
    from keras_coordconv.serving import warmup

    requests = warmup.read_warmup(args.folder)
    answers = export.ask_in_fresh_process(args.folder, requests)
    for (signature, inputs), answer in zip(requests, answers, strict=True):
        given, got = (
            " ".join(f"{name}{list(np.shape(x))}" for name, x in arrays.items())
            for arrays in (inputs, answer)
        )
        print(f"{signature}: {given} -> {got}")
    print(f"{args.folder} loads without Keras; {len(requests)} requests")


def run_config(args):
    from keras_coordconv import serving

    print(serving.write_config(args.folder, args.server_path))


def run_predict(args):
    from keras_coordconv import serving

    with serving.ServingClient(args.address, args.timeout) as client:
        chosen = {"version": args.version, "label": args.label}
        if args.inputs[0].lstrip().startswith("{"):
            inputs = json.loads(args.inputs[0])
        else:
            table = client.metadata(args.model, **chosen)[args.signature]
            (name,) = table["inputs"]
            inputs = {
                name: [pathlib.Path(file).read_bytes() for file in args.inputs]
            }
        answer = client.predict(args.model, inputs, args.signature, **chosen)
    print(json.dumps({name: x.tolist() for name, x in answer.items()}))


def run_bench(args):
    results = []
    targets = [open_target(name, args.signature) for name in args.targets]
    for size in args.batch_sizes:
        calls = [
            (ask, examples(table, size, args.image)) for ask, table in targets
        ]
        for ask, inputs in calls:
            ask(inputs)  # The first call compiles and allocates.
        seconds = [[] for _ in calls]
        for _ in range(args.turns):
            for (ask, inputs), times in zip(calls, seconds, strict=True):
                start = time.perf_counter()
                ask(inputs)
                times.append(time.perf_counter() - start)
        for name, times in zip(args.targets, seconds, strict=True):
            ratio = statistics.median(
                a / b for a, b in zip(times, seconds[0], strict=True)
            )
            middle = statistics.median(times)
            results.append(
                {
                    "target": name,
                    "batch_size": size,
                    "seconds": middle,
                    "examples_per_second": size / middle,
                    "ratio": ratio,
                }
            )
            print(
                f"batch {size:3d}  {1e3 * middle:9.2f} ms  "
                f"{size / middle:9.1f} examples/s  {ratio:5.3f} x  {name}"
            )
    if args.json:
        files.write_json(args.json, results)


def open_target(name, signature):
    """A function that asks a target, and the table of its signature."""
    if "://" not in name:
        from keras_coordconv.serving import check

        return check.open_version(name, signature)
    from keras_coordconv import serving

    address, model = name.rsplit("/", 1)
    client = serving.ServingClient(address, timeout=60)
    table = client.metadata(model)[signature]
    return lambda inputs: client.predict(model, inputs, signature), table


def examples(table, size, image):
    random = np.random.default_rng(0)
    arrays = {}
    for name, spec in table["inputs"].items():
        shape = [
            size,
            *(32 if axis < 0 else axis for axis in spec["shape"][1:]),
        ]
        if spec["dtype"] == "object":
            if not image:
                raise ValueError(
                    "A signature of image files needs one to ask with. "
                    f"Received: no --image for the input {name!r}."
                )
            data = pathlib.Path(image).read_bytes()
            arrays[name] = np.array([data] * size, object)
        else:
            arrays[name] = random.uniform(0, 1, shape).astype(spec["dtype"])
    return arrays


def main(argv=None):
    args = build_parser().parse_args(argv)
    run = {
        "export": run_export,
        "check": run_check,
        "config": run_config,
        "predict": run_predict,
        "bench": run_bench,
    }[args.command]
    try:
        run(args)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
