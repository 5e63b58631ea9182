"""LSUN GAN: a DCGAN of bedrooms, with or without CoordConv.

Section 5 of the CoordConv paper (https://arxiv.org/abs/1807.03247), which shows
only samples, without numbers or settings. Here, either all convolutions of the
DCGAN's two networks are CoordConvs, or none.

    python examples/lsun_gan.py --preset paper --data-dir FOLDER

trains the networks with CoordConv; `--layer conv` trains them without. FOLDER
contains bedroom_train_lmdb.zip, the unpacked file, or any other images.

    python examples/lsun_gan.py --stand-in

tries narrow networks on ten drawn shapes, which need no download.
"""

import startup  # noqa: F401, before the rest

import argparse

import keras
import numpy as np

from keras_coordconv import serving
from keras_coordconv.conversion.clone import in_float32
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import image_decoding
from keras_coordconv.experiments.datasets import lsun
from keras_coordconv.experiments.datasets import stand_in
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.training import adversarial
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "lsun_gan"
NO_DATA = (
    "LSUN not found: {reason}\n"
    "  1. put bedroom_train_lmdb.zip (43 GB, https://www.yf.io/p/lsun) into a "
    "FOLDER, or use a FOLDER of other images\n"
    "  2. python examples/lsun_gan.py --data-dir FOLDER\n"
    "  3. or try the stand-in: python examples/lsun_gan.py --stand-in"
)
RECIPES = {
    "--preset small": {
        "latent_size": 100,
        "width": 0.25,
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 0.0002,
        "dtype_policy": "mixed_bfloat16",
        "limit_examples": 10_000,
    },
    "--preset paper": {
        "latent_size": 100,
        "width": 1.0,
        "epochs": 10,
        "batch_size": 64,
        "learning_rate": 0.0002,
        "dtype_policy": "float32",
        "limit_examples": None,
    },
}
SAMPLES = 64


def build_parser():
    parser = flags.build_parser(__doc__)
    data, _ = flags.add_generator(parser)
    data.add_argument(
        "--data-dir", help="folder with LSUN or with other images"
    )
    data.add_argument(
        "--stand-in",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train on ten drawn shapes, written to runs/stand_in",
    )
    return parser


def open_data(args):
    """Opens the images that the flags select."""
    if args.stand_in:
        print("Stand-in: ten drawn shapes, not LSUN.")
        return lsun.open_images(stand_in.write_stand_in("runs/stand_in"))
    if args.data_dir is None:
        raise ValueError(NO_DATA.format(reason="no --data-dir"))
    try:
        return lsun.open_images(args.data_dir)
    except ValueError as error:
        raise ValueError(NO_DATA.format(reason=error)) from error


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    encoded = open_data(args)
    with Run(NAME, args) as run:
        images = (
            lsun.dataset(
                encoded,
                args.batch_size,
                args.limit_examples,
                shuffle_seed=args.seed,
                epochs_done=run.epochs_done,
            )
            .take(args.steps_per_epoch or -1)
            .map(keras.layers.Rescaling(2 / 255, -1, dtype="float32"))
        )

        coordinates = "all" if args.layer == "coordconv" else "none"
        generator = gan.conv_generator(
            args.latent_size, args.width, coordinates
        )
        discriminator = gan.discriminator(args.width, coordinates)
        generator.summary()
        discriminator.summary()
        discriminator_step = gan.discriminator_step(
            generator, discriminator, build_optimizer(args)
        )
        generator_step = gan.generator_step(
            generator, discriminator, build_optimizer(args)
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
            with image_decoding.plain_errors():
                logs = adversarial.train_epoch(
                    discriminator_step, generator_step, images, random
                )
            run.check_finite(logs)
            drawn = gan.draw(generator, latent)
            run.save_figure(f"samples_{epoch:03d}", plots.plot_images(drawn))
            run.end_epoch(logs)

        losses = {
            n: x for n, x in run.history[-1].items() if n.endswith("loss")
        }
        if args.export_dir:
            run.export(
                in_float32(run.trained_model()),
                losses,
                outputs=serving.with_png(gan.serving_outputs),
            )
        return run.finish(losses)


def build_optimizer(args):
    """Creates Adam with DCGAN's settings."""
    return keras.optimizers.Adam(args.learning_rate, beta_1=0.5)


if __name__ == "__main__":
    main()
