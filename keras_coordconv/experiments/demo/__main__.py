"""A page to try the trained models on, in the browser.

    python -m keras_coordconv.experiments.demo

asks the models of saved_models/;

    python -m keras_coordconv.experiments.demo --server http://localhost:8501

asks TensorFlow Serving, by REST or by grpc://localhost:8500. The page is for
this machine alone: it listens on 127.0.0.1. It needs
`pip install '.[demo]'`.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from keras_coordconv.experiments.training import arguments
from keras_coordconv.serving import ServingClient

# Gradio's bars over pictures are empty, and there. It does not enlarge what
# moves, and drawing that large makes long files.
CSS = """
.icon-button-wrapper { display: none }
.enlarged .image-frame { width: 100% }
.enlarged .image-frame img {
  width: 100%; object-fit: contain; image-rendering: pixelated
}
"""


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument(
        "--saved-models",
        default="saved_models",
        help="folder with <name>/<version>/ (default: %(default)s)",
    )
    parser.add_argument("--server", help="address of a server to ask instead")
    parser.add_argument(
        "--port",
        type=arguments.positive_integer,
        default=7860,
        help="of the page (default: %(default)s)",
    )
    return parser


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    try:
        import gradio

        from keras_coordconv.experiments.demo.models import SavedModels
        from keras_coordconv.experiments.demo.page import build_page
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} is not installed. Run: pip install '.[demo]'"
        ) from error

    models = (
        ServingClient(args.server, retries=0)
        if args.server
        else SavedModels(args.saved_models)
    )
    print(f"http://127.0.0.1:{args.port}", flush=True)
    build_page(models).launch(
        server_name="127.0.0.1",
        server_port=args.port,
        theme=gradio.themes.Soft(
            font=["system-ui", "sans-serif"], font_mono=["monospace"]
        ),
        css=CSS,
        footer_links=[],
        quiet=True,
    )


if __name__ == "__main__":
    main()
