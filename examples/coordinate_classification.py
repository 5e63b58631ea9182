"""Coordinate classification: find the pixel at (x, y).

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is the center (x, y) of a square in pixels, the output a softmax over the 4096
pixels of the canvas. The paper's claim: a deconvolutional network never exceeds
about 86 % test accuracy on the uniform split and stays near 0 % on the quadrant
split; CoordConv reaches 100 % train and test accuracy on both within 10 to 20
seconds.

    python examples/coordinate_classification.py

trains the CoordConv network with 7,553 parameters on the quadrant split, to
100 % train and 100 % test accuracy in about 40 s on 2 CPU cores, and compares
it in a figure with a trained convolution. x, y and the coordinates are in
pixels; all initial weights are random.

    python examples/coordinate_classification.py --layer conv --split uniform

trains the deconvolutional network.
"""

import startup  # noqa: F401, before the rest

import keras
from baselines import beside_baseline

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.models import blocks
from keras_coordconv.experiments.models import coordinate_classification
from keras_coordconv.experiments.training import callbacks
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "coordinate_classification"
RECIPES = {
    "--layer coordconv": {
        "units": "pixels",
        "first_layer_scale": 0.1,
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 0.003,
        "warmup_epochs": 0.5,
        "l2": 0.0,
    },
    "--layer conv": {
        "filter_size": 3,
        "width": 2,
        "epochs": 100,
        "batch_size": 32,
        "learning_rate": 0.01,
        "warmup_epochs": 0.5,
        "l2": 0.0,
    },
    "--layer conv --split quadrant": {"epochs": 20, "learning_rate": 0.03},
}


def build_parser():
    parser = flags.build_parser(__doc__)
    model = flags.add_task(parser, not_so_clevr.SPLITS)
    model.add_argument(
        "--units",
        choices=blocks.UNITS,
        help="units of (x, y) and of the coordinates in the CoordConv network: "
        "both in pixels, mixed as in the paper's code, or both in [-1, 1]",
    )
    model.add_argument(
        "--first-layer-scale",
        type=flags.not_negative_number,
        help="factor on the initial kernel of the CoordConv network's first "
        "layer, 1 in the paper",
    )
    model.add_argument(
        "--filter-size",
        type=flags.positive_integer,
        help="kernel size of the deconvolutional network",
    )
    model.add_argument(
        "--width",
        type=flags.positive_integer,
        help="factor on the number of filters of the deconvolutional network",
    )
    flags.add_training(parser)
    return parser


def build_model(args):
    if args.layer == "coordconv":
        return coordinate_classification.coordconv_classifier(
            l2=args.l2,
            units=args.units,
            first_layer_scale=args.first_layer_scale,
        )
    return coordinate_classification.conv_classifier(
        filter_size=args.filter_size, width=args.width, l2=args.l2
    )


def build_dataset(args, subset, batch_size=64, **order):
    return not_so_clevr.dataset(
        args.split, subset, batch_size, args.limit_examples, **order
    ).map(lambda example: (example["location"], example["pixel"]))


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
        data = {
            subset: build_dataset(args, subset) for subset in ("train", "test")
        }

        model = build_model(args)
        model.summary()
        model.compile(
            optimizers.paper_adam(args, len(shuffled)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=min(16, len(shuffled)),
        )
        perfect = callbacks.TimeToTarget(data["train"], "accuracy", min_score=1)
        run.fit(
            model,
            shuffled,
            args.epochs,
            validation_data=data["test"],
            callbacks=[perfect],
        )

        trained = run.trained_model()
        metrics = run.evaluate(trained, **data)
        metrics["seconds_to_perfect"] = perfect.seconds(run.history)
        models = beside_baseline(NAME, args, trained)
        for name, figure in draw_figures(models, data).items():
            run.save_figure(name, figure)
        if args.export_dir:
            run.export(
                trained,
                metrics,
                outputs=coordinate_classification.serving_outputs,
            )
        return run.finish(metrics)


def draw_figures(models, data):
    """Draws Figure 2 and the left column of Figure 5 of the paper."""
    true_sums = {
        subset: plots.sum_images(
            not_so_clevr.draw_pixels(pixels) for _, pixels in dataset
        )
        for subset, dataset in data.items()
    }
    predictions = {
        name: {
            subset: plots.sum_images(
                keras.ops.softmax(model.predict_on_batch(locations))
                for locations, _ in dataset
            )
            for subset, dataset in data.items()
        }
        for name, model in models.items()
    }
    return {
        "not_so_clevr": plots.plot_not_so_clevr(),
        "summed_predictions": plots.plot_summed_predictions(
            true_sums, predictions
        ),
    }


if __name__ == "__main__":
    main()
