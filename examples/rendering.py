"""Rendering: draw a 9x9 square centered at (x, y).

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is the center (x, y) of a square in pixels, the output the image of the square.
The paper's claim: a deconvolutional network reaches at most 0.83 test IOU on
the uniform split and 0.36 on the quadrant split; CoordConv reaches up to 1.0.

    python examples/rendering.py

trains the CoordConv network with 8,074 parameters on the quadrant split.

    python examples/rendering.py --filter-size 3

trains it with 3x3 kernels and the paper's loss on the center.

    python examples/rendering.py --layer conv --split uniform

trains the deconvolutional network; with `--epochs 80` it exceeds the paper's
limit, at a test IOU of 0.88 (seed 0).
"""

import startup  # noqa: F401, before the rest

import keras
from baselines import beside_baseline

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.evaluation.metrics import MeanImageIoU
from keras_coordconv.experiments.models import blocks
from keras_coordconv.experiments.models import rendering
from keras_coordconv.experiments.training import callbacks
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "rendering"
RECIPES = {
    "--layer coordconv": {
        "units": "pixels",
        "first_layer_scale": 0.01,
        "center_scale": 4096.0,
        "center_loss": 0.0,
        "filter_size": 1,
        "width": 1,
        "epochs": 6,
        "batch_size": 4,
        "learning_rate": 0.003,
        "warmup_epochs": 0.5,
        "l2": 0.0,
    },
    # The loss on the center replaces the scale of the center above.
    "--layer coordconv --filter-size 3": {
        "first_layer_scale": 0.1,
        "center_scale": 1.0,
        "center_loss": 1.0,
        "epochs": 5,
    },
    "--layer conv": {
        "filter_size": 3,
        "width": 2,
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 0.01,
        "warmup_epochs": 0.5,
        "l2": 0.0,
    },
    "--layer conv --split quadrant": {
        "epochs": 20,
        "batch_size": 16,
        "learning_rate": 0.03,
    },
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
        "--center-scale",
        type=flags.not_negative_number,
        help="factor on the initial kernel that reads the softmax in the "
        "CoordConv network, 1 in the paper",
    )
    model.add_argument(
        "--center-loss",
        type=flags.not_negative_number,
        help="weight of the loss on the center in the CoordConv network",
    )
    model.add_argument(
        "--filter-size",
        type=flags.positive_integer,
        help="height and width of the kernels",
    )
    model.add_argument(
        "--width",
        type=flags.positive_integer,
        help="factor on the number of filters",
    )
    flags.add_training(parser)
    return parser


def build_model(args):
    if args.layer == "coordconv":
        return rendering.coordconv_renderer(
            filter_size=args.filter_size,
            width=args.width,
            l2=args.l2,
            units=args.units,
            first_layer_scale=args.first_layer_scale,
            center_scale=args.center_scale,
        )
    return rendering.conv_renderer(args.filter_size, args.width, l2=args.l2)


def build_dataset(args, subset, batch_size=64, **order):
    def pick(example):
        targets = {"image": example["image"]}
        if args.layer == "coordconv":
            targets["center"] = example["pixel"]
        return example["location"], targets

    return not_so_clevr.dataset(
        args.split, subset, batch_size, args.limit_examples, **order
    ).map(pick)


def build_losses(args):
    """Returns the losses of the outputs, and their weights."""
    losses = {"image": keras.losses.BinaryCrossentropy(from_logits=True)}
    weights = {"image": 1.0}
    if args.layer == "coordconv":
        losses["center"] = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        )
        weights["center"] = args.center_loss
    return {"loss": losses, "loss_weights": weights}


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
            **build_losses(args),
            metrics={"image": [MeanImageIoU()]},
            steps_per_execution=min(16, len(shuffled)),
        )
        perfect = callbacks.TimeToTarget(data["train"], "iou", min_score=0.999)
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
            run.export(trained, metrics, outputs=rendering.serving_outputs)
        return run.finish(metrics)


def draw_figures(models, data):
    """Draws Figure 2 and the right column of Figure 5 of the paper."""
    true_sums = {
        subset: plots.sum_images(targets["image"] for _, targets in dataset)
        for subset, dataset in data.items()
    }
    predictions = {
        name: {
            subset: plots.sum_images(
                keras.ops.sigmoid(model.predict_on_batch(locations)["image"])
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
