"""Serving: gets predictions from TensorFlow Serving and draws them.

    python examples/serve_and_predict.py

writes the server's configuration for saved_models/, prints two ways to start
TensorFlow Serving, waits for the server, requests the squares around four
locations, and draws them. If no server is found, it reports so and runs the
SavedModel itself.

    python examples/serve_and_predict.py --address grpc://localhost:8500

uses gRPC instead of REST, for which it needs `pip install '.[serving]'`.
"""

import startup  # noqa: F401, before the rest

import pathlib
import time

import numpy as np
from tqdm import tqdm

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import ServingClient
from keras_coordconv.serving import ServingError
from keras_coordconv.serving import check
from keras_coordconv.serving import config
from keras_coordconv.serving import export_for_serving
from keras_coordconv.serving.versions import versions

MODEL = "rendering"
LOCATIONS = np.array([[8, 8], [48, 16], [24, 40], [56, 56]], "float32")
SAVED_MODELS = pathlib.Path(__file__).parents[1] / "saved_models"


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--saved-models",
        default=SAVED_MODELS,
        type=pathlib.Path,
        help="folder with rendering/<version>/ (default: the repository's)",
    )
    parser.add_argument(
        "--model",
        help="a .keras file of a rendering model to export first",
    )
    parser.add_argument(
        "--address",
        default="http://localhost:8501",
        help="address of the server, http or grpc (default: %(default)s)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=10.0,
        help="seconds to wait for the server (default: %(default)s)",
    )
    parser.add_argument(
        "--figure",
        default="runs/served.png",
        help="file of the figure (default: %(default)s)",
    )
    return parser


def print_server_commands(folder):
    folder = folder.resolve()
    print(
        "Start the server with Docker:\n\n"
        "  docker run -p 8500:8500 -p 8501:8501 "
        f"-v {folder}:/models tensorflow/serving "
        "--model_config_file=/models/models.config\n\n"
        "or, if it is installed, without Docker and for this model only:\n\n"
        "  tensorflow_model_server --port=8500 --rest_api_port=8501 "
        f"--model_name={MODEL} --model_base_path={folder / MODEL}\n"
    )


def wait_for_server(client, seconds):
    """Waits until the server has the model; returns whether it did in time."""
    last = "no response"
    for _ in tqdm(range(max(1, round(seconds))), desc="waiting", unit="s"):
        try:
            if "AVAILABLE" in client.status(MODEL).values():
                return True
        except ServingError as error:
            last = error
            if not error.unavailable:
                break
        time.sleep(1)
    print(f"No server with the model {MODEL!r} found: {last}")
    return False


def predict_with_saved_model(folder):
    version = folder / MODEL / str(versions(folder / MODEL)[-1])
    request = ("serving_default", {"location": LOCATIONS})
    (answer,) = check.predict_in_fresh_process(version, [request])
    return answer, f"{version.parent.name}/{version.name}, without a server"


def export_model(path, folder):
    """Exports a rendering model as the next version."""
    import keras

    from keras_coordconv.experiments.models import rendering

    try:
        model = keras.saving.load_model(path, compile=False)
    except ValueError as error:
        raise ValueError(
            f"Could not load the file of --model. Received: {path} ({error})"
        ) from error
    exported = export_for_serving(
        model, folder / MODEL, outputs=rendering.serving_outputs
    )
    print(f"exported: {exported}")


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    client = ServingClient(args.address, retries=0)
    if args.model:
        export_model(args.model, args.saved_models)
    if not versions(args.saved_models / MODEL):
        raise ValueError(
            "No rendering model found in --saved-models. "
            f"Received: {args.saved_models}. Create one with python "
            "examples/rendering.py --export-dir FOLDER/rendering"
        )
    written = config.write_config(args.saved_models)
    print_server_commands(args.saved_models)
    with client:
        if wait_for_server(client, args.wait):
            answer = client.predict(MODEL, {"location": LOCATIONS})
            source = args.address
        else:
            answer, source = predict_with_saved_model(args.saved_models)
    print(f"predicted by: {source}")

    figure = plots.plot_rendered(LOCATIONS, answer["image"], source)
    _files.write_figure(args.figure, figure)
    print(f"written: {written}\nwritten: {args.figure}")
    return {"predicted_by": source, "images": answer["image"]}


if __name__ == "__main__":
    main()
