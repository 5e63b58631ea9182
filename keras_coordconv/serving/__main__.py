"""Command line for serving: python -m keras_coordconv.serving COMMAND --help

export   export a .keras file as the next version in a folder
check    load a version as a server does and replay its warm-up file
config   write models.config and the batching files for a folder
"""

import argparse
import pathlib
import sys

import numpy as np

from keras_coordconv import _signals
from keras_coordconv._install import install_command


def build_parser():
    parser = argparse.ArgumentParser(
        prog="python -m keras_coordconv.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    export = commands.add_parser("export", help="export a .keras file")
    export.add_argument("model", help="path of the .keras file")
    export.add_argument(
        "base_path", help="folder with all versions of the model"
    )
    export.add_argument("--version", type=int, help="default: the next version")
    export.add_argument("--labels", help="file with one class name per line")
    export.add_argument(
        "--images",
        nargs=2,
        type=float,
        metavar=("BLACK", "WHITE"),
        help="add a signature for JPEG and PNG files and make it the default; "
        "BLACK and WHITE are their values in the images the model was trained "
        "on, such as 0 1 or 0 255",
    )
    export.add_argument(
        "--fold-coordinates",
        action="store_true",
        help="replace CoordConv layers by plain convolutions and additions",
    )

    check = commands.add_parser(
        "check", help="load a version and replay its warm-up file"
    )
    check.add_argument("folder", help="path of <name>/<version>")

    config = commands.add_parser(
        "config", help="write the server configuration"
    )
    config.add_argument("folder", help="folder with <name>/<version>")
    config.add_argument(
        "--server-path",
        default="/models",
        help="path of the folder on the server (default: %(default)s)",
    )
    return parser


def run_export(args):
    from keras_coordconv import serving

    model = load_model(args.model)
    labels = read_labels(args.labels) if args.labels else None
    signatures = None
    if args.images:
        images = serving.encoded_image_signature(model, value_range=args.images)
        signatures = {"serving_default": images}
    path = serving.export_for_serving(
        model,
        args.base_path,
        args.version,
        labels=labels,
        signatures=signatures,
        fold_coordinates=args.fold_coordinates,
    )
    print(path)


def load_model(path):
    import keras

    # Registers the layers and all custom objects of the experiments.
    import keras_coordconv.experiments  # noqa: F401

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # Damaged files raise errors of many types.
        raise ValueError(
            "Could not load the model from the .keras file. Received: "
            f"{path} ({type(error).__name__}: {error})"
        ) from error


def read_labels(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            "The labels file must be UTF-8 text. "
            f"Received: {path} ({error.reason} at byte {error.start})"
        ) from error


def run_check(args):
    from keras_coordconv.serving import check
    from keras_coordconv.serving import signatures
    from keras_coordconv.serving import versions
    from keras_coordconv.serving import warmup

    table = signatures.read_signatures(args.folder)
    check.check_fingerprint(args.folder)
    card = versions.read_card(args.folder)
    if card.get("signatures", table) != table:
        raise ValueError(
            "The model card does not describe the signatures of the version. "
            f"Received: {args.folder}/{versions.MODEL_CARD}. Export the model "
            "again, or delete the card."
        )
    requests = warmup.read_warmup(args.folder)
    if not requests:
        print("No warm-up file: using constant inputs for each signature.")
        requests = signatures.constant_requests(args.folder)
    answers = check.predict_in_fresh_process(args.folder, requests)
    for (signature, inputs), answer in zip(requests, answers, strict=True):
        given, got = (
            " ".join(f"{name}{list(np.shape(x))}" for name, x in arrays.items())
            for arrays in (inputs, answer)
        )
        print(f"{signature}: {given} -> {got}")
    print(f"{args.folder}: ran {len(requests)} requests without Keras")


def run_config(args):
    from keras_coordconv import serving

    print(serving.write_config(args.folder, args.server_path))


def main(argv=None):
    args = build_parser().parse_args(argv)
    run = {
        "export": run_export,
        "check": run_check,
        "config": run_config,
    }[args.command]
    try:
        with _signals.clean_exit():
            run(args)
        return 0
    except OSError as error:
        message = f"Cannot access {error.filename}: {error.strerror}"
    except ModuleNotFoundError as error:
        message = (
            f"{error.name} is not installed. Run: {install_command('serving')}"
        )
    except (ValueError, RuntimeError, ImportError) as error:
        message = " ".join(f"{error}".split())
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
