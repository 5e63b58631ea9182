"""Figure 7 of the CoordConv paper, from runs of clevr_gan.py.

    python examples/plot_generators.py runs/clevr_gan/001 runs/clevr_gan/002

draws the data and, of each run, samples of its last generator, where their
objects are, the differences of these places, and the average of 1000 images.
Of runs of clevr_vae.py, it draws the images between the codes of two images,
the same ones for all runs.
"""

import startup  # noqa: F401, before the rest

import pathlib

import numpy as np

import keras_coordconv  # noqa: F401, for loading its models
from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.models import vae
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history
from keras_coordconv.experiments.training import run_files

SAMPLES = 1000
# Of a VAE.
LINES = 4


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--output",
        default="generators.png",
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
    flags = [history.read_run(folder)["args"] for folder in args.runs]
    if len({"kl_weight" in run for run in flags}) > 1:
        raise ValueError(
            "Runs must be all of clevr_gan.py, or all of clevr_vae.py. "
            f"Received: {' '.join(args.runs)}"
        )
    real = sort_of_clevr.load_arrays("test", SAMPLES)["image"]
    models = {
        f"{run['layer']}, seed {run['seed']}": run_files.load_model(
            pathlib.Path(folder, "best.keras"), compile=False
        )
        for run, folder in zip(flags, args.runs, strict=True)
    }
    if "kl_weight" in flags[0]:
        figure = plots.plot_lines(
            {
                name: vae.interpolate(
                    model.get_layer("encoder"),
                    model.get_layer("decoder"),
                    real[: 2 * LINES],
                    steps=12,
                )
                for name, model in models.items()
            }
        )
    else:
        figure = plots.plot_coverage(
            {"data": real}
            | {
                name: draw_samples(model, args.seed)
                for name, model in models.items()
            }
        )
    _files.write_figure(args.output, figure)
    print(f"written: {args.output}")


def draw_samples(generator, seed):
    shape = (SAMPLES, generator.input_shape[-1])
    latent = np.random.default_rng(seed).uniform(-1, 1, shape)
    return gan.draw(generator, latent)


if __name__ == "__main__":
    main()
