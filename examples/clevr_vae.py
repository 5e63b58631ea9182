"""Sort-of-Clevr VAE: interpolating between images.

Section 5 of the CoordConv paper (https://arxiv.org/abs/1807.03247). Its claim:
between the codes of two images, a VAE with CoordConv moves the objects, while a
VAE without it lets them fade out and reappear. The paper gives no number and no
architecture; keras_coordconv/experiments/models/vae.py has the one used here.

    python examples/clevr_vae.py
    python examples/clevr_vae.py --layer conv

train narrow networks on few images; `--preset paper` trains wide networks on
all images. `python examples/plot.py generators RUN...` draws the
interpolations of several runs side by side.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv import serving
from keras_coordconv.conversion.clone import in_float32
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation.coverage import count_jumps
from keras_coordconv.experiments.evaluation.coverage import coverage
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.models import vae
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "clevr_vae"
RECIPES = {
    "--preset small": {
        "latent_size": 8,
        "width": 0.125,
        "kl_weight": 0.001,
        "epochs": 24,
        "batch_size": 16,
        "learning_rate": 0.002,
        "dtype_policy": "mixed_bfloat16",
        "limit_examples": 4000,
    },
    "--preset paper": {
        "latent_size": 8,
        "width": 1.0,
        "kl_weight": 0.001,
        "epochs": 50,
        "batch_size": 16,
        "learning_rate": 0.0005,
        "dtype_policy": "float32",
        "limit_examples": None,
    },
}
SAMPLES = 1000
# Lines between two test images, and images per line.
LINES, STEPS = 50, 32
SHOWN = 6


def build_parser():
    parser = flags.build_parser(__doc__)
    _, training = flags.add_generator(parser)
    training.add_argument(
        "--kl-weight",
        type=flags.not_negative_number,
        help="weight of the KL divergence of the codes from a normal "
        "distribution, relative to the mean squared error of the pixels",
    )
    return parser


def build_dataset(args, subset, batch_size, **order):
    return (
        sort_of_clevr.dataset(subset, batch_size, args.limit_examples, **order)
        .map(lambda example: example["image"])
        .map(keras.layers.Rescaling(2 / 255, -1, dtype="float32"))
        .map(lambda image: (image, {"image": image}))
    )


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    with Run(NAME, args) as run:
        shuffled = build_dataset(
            args,
            "train",
            args.batch_size,
            shuffle_seed=args.seed,
            epochs_done=run.epochs_done,
        ).take(args.steps_per_epoch or -1)
        data = {s: build_dataset(args, s, 64) for s in ("train", "test")}

        model = vae.autoencoder(
            vae.encoder(args.layer, args.latent_size, args.width),
            vae.decoder(args.layer, args.latent_size, args.width),
            args.kl_weight,
        )
        model.summary(expand_nested=True)
        model.compile(
            optimizers.adam(args.learning_rate),
            {"image": keras.losses.MeanSquaredError()},
        )
        run.fit(model, shuffled, args.epochs, validation_data=data["test"])

        trained = run.trained_model()
        encoder, decoder = (
            trained.get_layer("encoder"),
            trained.get_layer("decoder"),
        )
        real = sort_of_clevr.load_arrays("test", SAMPLES)["image"]
        lines = vae.interpolate(encoder, decoder, real[: 2 * LINES], STEPS)
        # The codes of images are nearly normally distributed.
        shape = (SAMPLES, args.latent_size)
        drawn = gan.draw(
            decoder, np.random.default_rng(args.seed).normal(size=shape)
        )
        metrics = {
            **run.evaluate(trained, **data),
            "jumps": count_jumps(lines),
            **coverage(drawn, real),
        }
        run.save_figure("lines", plots.plot_lines({args.layer: lines[:SHOWN]}))
        run.save_figure(
            "coverage", plots.plot_coverage({"data": real, args.layer: drawn})
        )
        if args.export_dir:
            run.export(
                in_float32(decoder),
                metrics,
                outputs=serving.with_png(gan.serving_outputs),
            )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
