"""Sort-of-Clevr GAN: images of a red and a blue object.

Section 5 of the CoordConv paper (https://arxiv.org/abs/1807.03247). Its claim:
with CoordConv, a GAN covers more of the positions where the objects can be.

    python examples/clevr_gan.py
    python examples/clevr_gan.py --layer conv

train narrow networks on few images;

    python examples/clevr_gan.py --preset paper

trains the paper's networks, which need a GPU. `python examples/plot.py
generators RUN...` draws runs side by side, as in the paper's Figure 7.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv import serving
from keras_coordconv.conversion.clone import in_float32
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation.coverage import coverage
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.training import adversarial
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "clevr_gan"
RECIPES = {
    "--preset small": {
        "latent_size": 16,
        "width": 0.125,
        "discriminator_width": 0.125,
        "epochs": 8,
        "batch_size": 16,
        "learning_rate": 0.001,
        "discriminator_learning_rate": 0.0001,
        "beta_1": 0.5,
        "dtype_policy": "mixed_bfloat16",
        "limit_examples": 4000,
    },
    "--preset paper": {
        "latent_size": 256,
        "width": 1.0,
        "discriminator_width": 1.0,
        "epochs": 50,
        "batch_size": 16,
        "learning_rate": 0.0005,
        "discriminator_learning_rate": 0.0001,
        "beta_1": 0.9,
        "dtype_policy": "float32",
        "limit_examples": None,
    },
}
SAMPLES = 1000
SHOWN = 64


def build_parser():
    parser = flags.build_parser(__doc__)
    model, training = flags.add_generator(parser)
    model.add_argument(
        "--discriminator-width",
        type=flags.not_negative_number,
        help="factor on the number of filters of the discriminator",
    )
    training.add_argument(
        "--discriminator-learning-rate",
        type=flags.not_negative_number,
        help="learning rate of the discriminator (Adam)",
    )
    training.add_argument(
        "--beta-1",
        type=flags.not_negative_number,
        help="beta_1 of Adam, for both networks",
    )
    return parser


def build_models(args):
    """Builds the generator and the discriminator."""
    if args.layer == "coordconv":
        generator = gan.coordconv_generator(args.latent_size, args.width)
        coordinates = "first"
    else:
        generator = gan.conv_generator(args.latent_size, args.width)
        coordinates = "none"
    return generator, gan.discriminator(args.discriminator_width, coordinates)


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    with Run(NAME, args) as run:
        images = (
            sort_of_clevr.dataset(
                "train",
                args.batch_size,
                args.limit_examples,
                shuffle_seed=args.seed,
                epochs_done=run.epochs_done,
            )
            .take(args.steps_per_epoch or -1)
            .map(lambda example: example["image"])
            .map(keras.layers.Rescaling(2 / 255, -1, dtype="float32"))
        )
        real = sort_of_clevr.load_arrays("test", SAMPLES)["image"]

        generator, discriminator = build_models(args)
        generator.summary()
        discriminator.summary()
        discriminator_step = gan.discriminator_step(
            generator,
            discriminator,
            optimizers.adam(args.discriminator_learning_rate, args.beta_1),
        )
        generator_step = gan.generator_step(
            generator,
            discriminator,
            optimizers.adam(args.learning_rate, args.beta_1),
        )
        run.track(
            generator,
            generator_step=generator_step,
            discriminator_step=discriminator_step,
        )

        # The same in every epoch, to show how the images change.
        shape = (SAMPLES, args.latent_size)
        latent = np.random.default_rng(args.seed).uniform(-1, 1, shape)
        for epoch in run.epochs(args.epochs):
            print(f"Epoch {epoch}/{args.epochs}")
            random = np.random.default_rng([args.seed, epoch])
            logs = adversarial.train_epoch(
                discriminator_step, generator_step, images, random
            )
            run.check_finite(logs)
            drawn = gan.draw(generator, latent)
            run.save_figure(
                f"samples_{epoch:03d}", plots.plot_images(drawn[:SHOWN])
            )
            run.end_epoch({**logs, **coverage(drawn, real)})

        trained = run.trained_model()
        drawn = gan.draw(trained, latent)
        metrics = coverage(drawn, real)
        run.save_figure(
            "coverage", plots.plot_coverage({"data": real, args.layer: drawn})
        )
        if args.export_dir:
            run.export(
                in_float32(trained),
                metrics,
                outputs=serving.with_png(gan.serving_outputs),
            )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
