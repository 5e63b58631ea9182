"""Coordinate classification: find the pixel at (x, y).

Section 4 of the CoordConv paper (https://arxiv.org/abs/1807.03247). The input
is the centre (x, y) of a square in pixels, the output a softmax over the 4096
pixels of the canvas. The paper's claim: a deconvolution net never gets above
about 86 % test accuracy on the uniform split and near 0 % on the quadrant
split; CoordConv gets 100 % on train and test of both within 10 to 20 seconds.

    python examples/coordinate_classification.py

trains the CoordConv net of 7,553 parameters on the quadrant split, to 100 %
train and 100 % test accuracy within one epoch, about 20 s on 2 CPU cores.

    python examples/coordinate_classification.py --layer conv --split uniform

trains the deconvolution net.
"""

import os

# oneDNN's kernels are faster also on processors where TensorFlow leaves them
# off; it reads this when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

from keras_coordconv import plots
from keras_coordconv.datasets import not_so_clevr
from keras_coordconv.models import coordinate_classification
from keras_coordconv.serving import export_for_serving
from keras_coordconv.training import arguments
from keras_coordconv.training import callbacks
from keras_coordconv.training import supervised
from keras_coordconv.training.run_folder import RunFolder

TASK = "coordinate_classification"
LAYERS = ("coordconv", "conv")
COORDCONV_RECIPE = {
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.003,
    "warmup_epochs": 0.5,
    "l2": 0.0,
}
CONV_RECIPE = {
    "epochs": 100,
    "batch_size": 32,
    "learning_rate": 0.01,
    "warmup_epochs": 0.5,
    "l2": 1e-3,
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
    parser = arguments.build_parser(__doc__)
    model = parser.add_argument_group("data and model")
    model.add_argument(
        "--layer",
        choices=LAYERS,
        default="coordconv",
        help="which of the two nets to train (default: %(default)s)",
    )
    model.add_argument(
        "--split",
        choices=not_so_clevr.SPLITS,
        default="quadrant",
        help="test centres at random or in one quarter (default: %(default)s)",
    )
    model.add_argument(
        "--initialization",
        choices=coordinate_classification.INITIALIZATIONS,
        default="offsets",
        help="CoordConv net: how its first layer begins, as in the paper or "
        "with the offsets of (x, y) from each pixel (default: %(default)s)",
    )
    model.add_argument(
        "--filter-size",
        type=arguments.positive_integer,
        default=3,
        help="kernel size of the deconvolution net (default: %(default)s)",
    )
    model.add_argument(
        "--width",
        type=arguments.positive_integer,
        default=2,
        help="filters of the deconvolution net, factor (default: %(default)s)",
    )
    arguments.add_recipe(
        parser,
        RECIPES,
        {
            "epochs": "length of the training and of the cosine decay",
            "batch_size": "examples a step",
            "learning_rate": "Adam's rate after the warm-up",
            "warmup_epochs": "epochs in which the rate rises from zero",
            "l2": "weight of the penalty on the squared kernels",
        },
    )
    return parser


def build_model(args):
    if args.layer == "coordconv":
        return coordinate_classification.coordconv_classifier(
            l2=args.l2, initialization=args.initialization
        )
    return coordinate_classification.conv_classifier(
        filter_size=args.filter_size, width=args.width, l2=args.l2
    )


def build_dataset(args, subset, batch_size=64, shuffle_seed=None):
    return not_so_clevr.task_dataset(
        TASK,
        args.split,
        subset,
        batch_size=batch_size,
        shuffle_seed=shuffle_seed,
        limit_examples=args.limit_examples,
    )


def sum_of_probabilities(model, dataset):
    """The model's probabilities, summed over a data set, as an image."""
    total = 0
    for locations, _ in dataset:
        logits = model.predict_on_batch(locations)
        total = total + np.sum(keras.ops.softmax(logits), axis=0)
    return np.reshape(total, (not_so_clevr.CANVAS_SIZE,) * 2)


def sum_of_truths(dataset):
    """How often each pixel is the target in a data set, as an image."""
    pixels = np.concatenate([targets for _, targets in dataset])
    counts = np.bincount(pixels, minlength=not_so_clevr.CANVAS_SIZE**2)
    return np.reshape(counts, (not_so_clevr.CANVAS_SIZE,) * 2)


def draw_figures(model, args, data, folder):
    """Figure 2 and the left column of Figure 5 of the paper."""
    plots.plot_not_so_clevr().savefig(folder / "not_so_clevr.png", dpi=150)
    truths = {
        subset: sum_of_truths(dataset) for subset, dataset in data.items()
    }
    predictions = {
        subset: sum_of_probabilities(model, dataset)
        for subset, dataset in data.items()
    }
    plots.plot_summed_predictions(truths, {args.layer: predictions}).savefig(
        folder / "summed_predictions.png", dpi=150
    )


def main(argv=None):
    args = arguments.parse(build_parser(), RECIPES, argv)
    try:
        run = RunFolder(
            args.workdir,
            vars(args),
            resume=args.resume,
            default_parent=f"runs/{TASK}",
        )
    except ValueError as error:
        arguments.exit_with_error(error)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.dtype_policy)

    # A resumed run goes on with new permutations, not with the first again.
    shuffled = build_dataset(
        args, "train", args.batch_size, args.seed + run.epochs_done
    )
    data = {
        subset: build_dataset(args, subset) for subset in not_so_clevr.SUBSETS
    }

    model = build_model(args)
    model.summary()
    model.compile(
        optimizer=supervised.paper_optimizer(
            args, args.steps_per_epoch or len(shuffled)
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # The steps are short: this saves the way through Python in between.
        # It rounds the steps of an epoch up.
        steps_per_execution=1 if args.steps_per_epoch else 16,
    )
    best_model = supervised.fit(
        model,
        shuffled,
        data["test"],
        args,
        run,
        callbacks=[callbacks.TrainAccuracyWhenPerfect(data["train"])],
    )

    metrics = {
        "seconds": run.seconds,
        "seconds_to_perfect": callbacks.seconds_to_perfect(run.history),
        "parameters": supervised.trainable_parameters(best_model),
        **supervised.evaluate(best_model, **data),
    }
    run.write_metrics(metrics)
    draw_figures(best_model, args, data, run.figures)
    if args.export_dir:
        exported = export_for_serving(
            best_model,
            args.export_dir,
            outputs=coordinate_classification.serving_outputs,
        )
        print(f"exported: {exported}")
    for path in run.written():
        print(f"written: {path}")
    print(
        f"{args.layer}, {args.split} split: "
        f"{metrics['train_accuracy']:.2%} train accuracy, "
        f"{metrics['test_accuracy']:.2%} test accuracy, "
        f"{metrics['seconds']:.0f} s of training"
    )
    return metrics


if __name__ == "__main__":
    main()
