"""Coordinate regression: say where the one white pixel is.

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is an image of one pixel, the output its (x, y). The paper's claim: convolution
nets fit the training set and largely fail to generalize; a CoordConv net of 906
parameters fits train and test of both splits.

    python examples/coordinate_regression.py

trains the CoordConv net on the quadrant split, to a mean distance below half a
pixel on train and test.

    python examples/coordinate_regression.py --layer conv

trains the convolution net that the paper uses on that split.
"""

import os

# oneDNN's kernels are faster also on processors where TensorFlow leaves them
# off; it reads this when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from keras_coordconv import metrics
from keras_coordconv import plots
from keras_coordconv.datasets import not_so_clevr
from keras_coordconv.models import coordinate_regression
from keras_coordconv.training import arguments
from keras_coordconv.training import experiment

TASK = "coordinate_regression"
COORDCONV_RECIPE = {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 0.003,
    "warmup_epochs": 0.5,
    "l2": 1e-5,
}
CONV_RECIPE = {
    "epochs": 30,
    "batch_size": 64,
    "learning_rate": 0.001,
    "warmup_epochs": 0.5,
    "l2": 1e-5,
}
RECIPES = {
    (layer, split): recipe
    for layer, recipe in (
        ("coordconv", COORDCONV_RECIPE),
        ("conv", CONV_RECIPE),
    )
    for split in not_so_clevr.SPLITS
}
# The paper has one convolution net for each split.
CONV_MODELS = {
    "uniform": coordinate_regression.conv_regressor_uniform,
    "quadrant": coordinate_regression.conv_regressor_quadrant,
}


def build_parser():
    parser, model = arguments.build_task_parser(__doc__)
    model.add_argument(
        "--pixel-scale",
        type=arguments.not_negative_number,
        default=2.0,
        help="CoordConv net: factor on the first layer's initial weights of "
        "the image, 1 in the paper (default: %(default)s)",
    )
    model.add_argument(
        "--coordinate-scale",
        type=arguments.not_negative_number,
        default=0.02,
        help="CoordConv net: factor on the first layer's initial weights of "
        "the coordinates, 1 in the paper (default: %(default)s)",
    )
    arguments.add_recipe(parser, RECIPES)
    return parser


def build_model(args):
    if args.layer == "coordconv":
        return coordinate_regression.coordconv_regressor(
            l2=args.l2,
            pixel_scale=args.pixel_scale,
            coordinate_scale=args.coordinate_scale,
        )
    return CONV_MODELS[args.split](l2=args.l2)


def build_dataset(args, subset, batch_size, shuffle_seed):
    return not_so_clevr.task_dataset(
        TASK,
        args.split,
        subset,
        batch_size=batch_size,
        shuffle_seed=shuffle_seed,
        limit_examples=args.limit_examples,
    )


def compile_arguments(args):
    return {"loss": "mse", "metrics": [metrics.MeanPixelDistance()]}


def draw_figures(model, args, data):
    """Where the net puts the pixels of train and test."""
    predictions = {
        subset: model.predict(dataset, verbose=0)
        for subset, dataset in data.items()
    }
    return {
        "not_so_clevr": plots.plot_not_so_clevr(),
        "locations": plots.plot_locations(
            {
                f"{subset}: {args.layer}": not_so_clevr.CANVAS_SIZE * locations
                for subset, locations in predictions.items()
            }
        ),
    }


def serving_signatures(model):
    """Image files as the default; `tensor` still takes arrays."""
    # TensorFlow only, as --export-dir says.
    from keras_coordconv.serving import encoded_image_signature

    return {
        "serving_default": encoded_image_signature(
            model, coordinate_regression.preprocess_for_serving
        )
    }


EXPERIMENT = experiment.Experiment(
    name=TASK,
    recipes=RECIPES,
    build_dataset=build_dataset,
    build_model=build_model,
    compile_arguments=compile_arguments,
    score="distance",
    score_format="{:.3f} pixels",
    is_perfect=lambda distance: distance <= 0.5,
    draw_figures=draw_figures,
    serving_signatures=serving_signatures,
)


def main(argv=None):
    return experiment.run(EXPERIMENT, build_parser(), argv)


if __name__ == "__main__":
    main()
