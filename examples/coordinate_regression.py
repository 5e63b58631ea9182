"""Coordinate regression: locate the one white pixel.

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is an image with one white pixel, the output its (x, y). The paper's claim:
convolutional networks fit the training set and largely fail to generalize; a
CoordConv network with 906 parameters fits the training and test sets of both
splits.

    python examples/coordinate_regression.py

trains the CoordConv network on the quadrant split, to a mean distance below
half a pixel on the training and test sets.

    python examples/coordinate_regression.py --layer conv

trains the convolutional network that the paper uses on that split.

    python examples/coordinate_regression.py --layer conv --head soft_argmax

trains the CoordConv network with a plain convolution as its first layer, and
`SoftArgmax2D` instead of its maximum: the coordinates enter at the end.
"""

import startup  # noqa: F401, before the rest

from keras_coordconv import serving
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.evaluation.metrics import MeanPixelDistance
from keras_coordconv.experiments.models import coordinate_regression
from keras_coordconv.experiments.training import callbacks
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "coordinate_regression"
RECIPES = {
    "--layer coordconv": {
        "input_scale": 255.0,
        "first_layer_scale": 1 / 64,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.003,
        "warmup_epochs": 0.5,
        "l2": 0.00001,
    },
    "--layer conv": {
        "epochs": 30,
        "batch_size": 64,
        "learning_rate": 0.001,
        "warmup_epochs": 0.5,
        "l2": 0.00001,
    },
    "--head soft_argmax": {"temperature": 10.0, "l2": 0.0},
    "--layer conv --head soft_argmax": {
        "input_scale": 1.0,
        "first_layer_scale": 1.0,
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.003,
    },
}
# The paper has one convolutional network per split.
CONV_MODELS = {
    "uniform": coordinate_regression.conv_regressor_uniform,
    "quadrant": coordinate_regression.conv_regressor_quadrant,
}


def build_parser():
    parser = flags.build_parser(__doc__)
    model = flags.add_task(parser, not_so_clevr.SPLITS)
    model.add_argument(
        "--head",
        choices=("paper", "soft_argmax"),
        default="paper",
        help="what makes a location of maps: the paper's maximum, average or "
        "dense layers, or SoftArgmax2D (default: %(default)s)",
    )
    model.add_argument(
        "--input-scale",
        type=flags.not_negative_number,
        help="factor on the white pixel in the CoordConv network, and before "
        "the soft-argmax: 255 for uint8 images, 1 in the paper",
    )
    model.add_argument(
        "--first-layer-scale",
        type=flags.not_negative_number,
        help="factor on the initial kernel of that network's first layer, 1 "
        "in the paper",
    )
    model.add_argument(
        "--temperature",
        type=flags.not_negative_number,
        help="temperature of the soft-argmax; if it is low, the softmax often "
        "settles on a neighbor of the pixel",
    )
    flags.add_training(parser)
    return parser


def build_model(args):
    if args.head == "soft_argmax":
        return coordinate_regression.soft_argmax_regressor(
            args.layer,
            l2=args.l2,
            input_scale=args.input_scale,
            first_layer_scale=args.first_layer_scale,
            temperature=args.temperature,
        )
    if args.layer == "coordconv":
        return coordinate_regression.coordconv_regressor(
            l2=args.l2,
            input_scale=args.input_scale,
            first_layer_scale=args.first_layer_scale,
        )
    return CONV_MODELS[args.split](l2=args.l2)


def build_dataset(args, subset, batch_size=64, **order):
    return not_so_clevr.dataset(
        args.split, subset, batch_size, args.limit_examples, **order
    ).map(lambda example: (example["center"], example["normalized_location"]))


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
            "mse",
            metrics=[MeanPixelDistance()],
            steps_per_execution=min(16, len(shuffled)),
        )
        perfect = callbacks.TimeToTarget(
            data["train"], "distance", max_score=0.5
        )
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
        for name, figure in draw_figures(trained, args, data).items():
            run.save_figure(name, figure)
        if args.export_dir:
            run.export(
                trained,
                metrics,
                signatures={
                    "serving_default": serving.encoded_image_signature(
                        trained, value_range=(0, 1)
                    )
                },
            )
        return run.finish(metrics)


def draw_figures(model, args, data):
    """Draws Figure 2 of the paper, and the predicted locations."""
    locations = {
        f"{subset}: {args.layer}": not_so_clevr.CANVAS_SIZE
        * model.predict(dataset, verbose=0)
        for subset, dataset in data.items()
    }
    return {
        "not_so_clevr": plots.plot_not_so_clevr(),
        "locations": plots.plot_locations(locations),
    }


if __name__ == "__main__":
    main()
