"""Figure 7 of the CoordConv paper, from runs of clevr_gan.py.

    python examples/plot_generators.py runs/clevr_gan/001 runs/clevr_gan/002

draws the data and, of each run, samples of its last generator, where their
objects are, the differences of these places, and the average of 1000 images.
"""

import startup  # noqa: F401, before the rest

import pathlib

import keras
import numpy as np

import keras_coordconv  # noqa: F401, for loading its models
from keras_coordconv import files
from keras_coordconv import plots
from keras_coordconv.datasets import sort_of_clevr
from keras_coordconv.models import gan
from keras_coordconv.training import arguments
from keras_coordconv.training import history

SAMPLES = 1000


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--output",
        default="coverage.png",
        help="the figure to write (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the latents (default: 0)",
    )
    return parser


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    rows = {"data": sort_of_clevr.features("test", SAMPLES)["image"]}
    for folder in args.runs:
        flags = history.read_run(folder)["args"]
        generator = keras.saving.load_model(
            pathlib.Path(folder, "best.keras"), compile=False
        )
        shape = (SAMPLES, generator.input_shape[-1])
        latent = np.random.default_rng(args.seed).uniform(-1, 1, shape)
        name = f"{flags['layer']}, seed {flags['seed']}"
        rows[name] = gan.draw(generator, latent)
    files.write_figure(args.output, plots.plot_coverage(rows))
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
