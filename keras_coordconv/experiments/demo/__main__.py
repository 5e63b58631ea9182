"""Web demo of the trained models.

    python -m keras_coordconv.experiments.demo

runs the models in saved_models/ and prints the address of the page.

    python -m keras_coordconv.experiments.demo --server http://localhost:8501

uses TensorFlow Serving instead, by REST or at grpc://localhost:8500. Only this
machine can open the page, which listens on 127.0.0.1. The demo requires
`pip install '.[demo]'`.
"""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from keras_coordconv._install import install_command
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import ServingClient

# Hides Gradio's empty toolbars over images, moves its labels from the images to
# above them, and enlarges small images, whose files would be too large. On a
# phone, a tab is one screen: the first picture is above the others.
CSS = """
.icon-button-wrapper { display: none }
.panels { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)) }
.panels label[data-testid=block-label] { position: static; width: fit-content }
.single { max-width: 500px }
.single .image-frame, .single .image-frame img,
.panels .image-frame, .panels .image-frame img {
  width: 100%; object-fit: contain
}
img[src$=".gif"] { image-rendering: pixelated }
@media (max-width: 600px) {
  h1 { margin: 0; font-size: 1.4em }
  .panels { grid-template-columns: repeat(2, minmax(0, 1fr)) }
  .panels > :first-child { grid-column: 1 / 3; width: 65%; margin: auto }
  .maps > :first-child { width: 100% }
  .game > :first-child { grid-column: auto; width: 100% }
  .game > :last-child { grid-column: 1 / 3 }
}
"""


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--saved-models",
        default="saved_models",
        help="folder with <name>/<version>/ (default: %(default)s)",
    )
    parser.add_argument("--server", help="address of a server to use instead")
    parser.add_argument(
        "--port",
        type=flags.positive_integer,
        default=7860,
        help="port of the page (default: %(default)s)",
    )
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    try:
        import gradio

        from keras_coordconv.experiments.demo.models import SavedModels
        from keras_coordconv.experiments.demo.page import build_page
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{error.name} is not installed. Run: {install_command('demo')}"
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
        # In bytes: no tab takes files.
        max_file_size=1,
        quiet=True,
    )


if __name__ == "__main__":
    main()
