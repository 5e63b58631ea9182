"""Rendering: paint a 9x9 square around (x, y).

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is the centre (x, y) of a square in pixels, the output the image of the square.
The paper's claim: a deconvolution net gets at most 0.83 test IOU on the uniform
split and 0.36 on the quadrant split; CoordConv gets up to 1.0.

    python examples/rendering.py

trains the CoordConv net of 8,074 parameters on the quadrant split.

    python examples/rendering.py --filter-size 3 --center-loss 1

trains it with 3x3 kernels and the paper's loss on the centre.

    python examples/rendering.py --layer conv --split uniform

trains the deconvolution net.
"""

import os

# oneDNN's kernels are faster also on processors where TensorFlow leaves them
# off; it reads this when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras

from keras_coordconv import metrics
from keras_coordconv import plots
from keras_coordconv.datasets import not_so_clevr
from keras_coordconv.models import blocks
from keras_coordconv.models import rendering
from keras_coordconv.training import arguments
from keras_coordconv.training import experiment

TASK = "rendering"
COORDCONV_RECIPE = {
    "filter_size": 1,
    "width": 1,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.003,
    "warmup_epochs": 0.5,
    "l2": 0.0,
    "center_loss": 0.0,
}
CONV_RECIPE = {
    "filter_size": 3,
    "width": 2,
    "epochs": 100,
    "batch_size": 32,
    "learning_rate": 0.01,
    "warmup_epochs": 0.5,
    "l2": 0.0,
    "center_loss": 0.0,
}
RECIPES = {
    (layer, split): recipe
    for layer, recipe in (
        ("coordconv", COORDCONV_RECIPE),
        ("conv", CONV_RECIPE),
    )
    for split in not_so_clevr.SPLITS
}


def build_parser():
    parser, model = arguments.build_task_parser(__doc__)
    model.add_argument(
        "--initialization",
        choices=blocks.INITIALIZATIONS,
        default="offsets",
        help="CoordConv net: how its first layer begins, as in the paper or "
        "with the offsets of (x, y) from each pixel (default: %(default)s)",
    )
    model.add_argument(
        "--center-scale",
        type=arguments.not_negative_number,
        default=1024,
        help="CoordConv net: factor on the initial kernel that reads the "
        "softmax, 1 in the paper (default: %(default)s)",
    )
    arguments.add_recipe(parser, RECIPES)
    return parser


def build_model(args):
    if args.layer == "coordconv":
        return rendering.coordconv_renderer(
            filter_size=args.filter_size,
            width=args.width,
            l2=args.l2,
            initialization=args.initialization,
            center_scale=args.center_scale,
        )
    return rendering.conv_renderer(args.filter_size, args.width, l2=args.l2)


def build_dataset(args, subset, batch_size, shuffle_seed):
    dataset = not_so_clevr.task_dataset(
        TASK,
        args.split,
        subset,
        batch_size=batch_size,
        shuffle_seed=shuffle_seed,
        limit_examples=args.limit_examples,
    )
    if args.layer == "conv":
        return dataset.map(lambda location, image: (location, {"image": image}))
    return dataset.map(
        lambda location, image: (
            location,
            {"image": image, "center": not_so_clevr.pixel_index(location)},
        )
    )


def compile_arguments(args):
    loss = {"image": keras.losses.BinaryCrossentropy(from_logits=True)}
    weights = {"image": 1.0}
    if args.layer == "coordconv":
        loss["center"] = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        )
        weights["center"] = args.center_loss
    return {
        "loss": loss,
        "loss_weights": weights,
        "metrics": {"image": [metrics.MeanImageIoU()]},
    }


def draw_figures(model, args, data):
    """Figure 2 and the right column of Figure 5 of the paper."""
    truths, predictions = {}, {}
    for subset, dataset in data.items():
        truths[subset] = plots.sum_images(
            targets["image"] for _, targets in dataset
        )
        predictions[subset] = plots.sum_images(
            keras.ops.sigmoid(model.predict_on_batch(locations)["image"])
            for locations, _ in dataset
        )
    return {
        "not_so_clevr": plots.plot_not_so_clevr(),
        "summed_predictions": plots.plot_summed_predictions(
            truths, {args.layer: predictions}
        ),
    }


EXPERIMENT = experiment.Experiment(
    name=TASK,
    recipes=RECIPES,
    build_dataset=build_dataset,
    build_model=build_model,
    compile_arguments=compile_arguments,
    score="iou",
    score_format="{:.4f}",
    is_perfect=lambda iou: iou >= 0.999,
    draw_figures=draw_figures,
    serving_outputs=rendering.serving_outputs,
)


def main(argv=None):
    return experiment.run(EXPERIMENT, build_parser(), argv)


if __name__ == "__main__":
    main()
