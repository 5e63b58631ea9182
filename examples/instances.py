"""Instances: one net draws the mask of the object whose centre is asked for.

White rectangles on a canvas of 36x36; the net gets the middle of one of them
and draws that one alone, as the mask head of CondInst
(https://arxiv.org/abs/2003.05664).

    python examples/instances.py

measures the coordinates from the middle that is asked for: frames that differ
by example, and nothing else, say which rectangle is meant.

    python examples/instances.py --frame image

measures them from the corner of the canvas, as CoordConv does by itself, and
gives the middle as two more channels. Both are then asked for the rectangles of
a larger canvas.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import placed_rectangles
from keras_coordconv.experiments.datasets.placed_rectangles import CELL_SIZE
from keras_coordconv.experiments.evaluation.metrics import MeanImageIoU
from keras_coordconv.experiments.models import instances
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training.run import Run

NAME = "instances"
RECIPE = {"epochs": 5, "batch_size": 16, "learning_rate": 0.01}
RECIPES = {"--frame center": RECIPE, "--frame image": RECIPE}


def build_parser():
    parser = arguments.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--frame",
        choices=("center", "image"),
        default="center",
        help="where the coordinates are measured from (default: %(default)s)",
    )
    arguments.add_length(group, "canvases a step")
    return parser


def inputs_of(args, image, center):
    """What the net is given; coordinates and centres in units of a cell."""
    count = len(image)
    center = center / CELL_SIZE
    affine = np.repeat(np.eye(2, 3)[None] / CELL_SIZE, count, axis=0)
    if args.frame == "center":
        affine[..., -1] -= center
    else:
        channels = np.broadcast_to(
            center[:, None, None], (*image.shape[:-1], 2)
        )
        image = np.concatenate([image, channels], axis=-1)
    return {"image": image, "affine": affine.astype("float32")}


def build_dataset(args, subset, **order):
    seed = {"train": 0, "test": 1}[subset]
    count = args.limit_examples or {"train": 2000, "test": 500}[subset]
    queries = placed_rectangles.make_queries(count, seed)
    inputs = inputs_of(args, queries["image"], queries["center"])
    examples = {**inputs, "mask": queries["mask"]}
    return epochs.batches(examples, args.batch_size, **order).map(
        lambda batch: (
            {"image": batch["image"], "affine": batch["affine"]},
            batch["mask"],
        )
    )


def draw_all(args, model, canvases):
    """The number of the rectangle that each pixel is drawn for, or 0."""
    numbers = np.zeros_like(canvases["label"])
    best = np.zeros(numbers.shape)
    for index in range(canvases["center"].shape[1]):
        center = canvases["center"][:, index]
        inputs = inputs_of(args, canvases["image"], center)
        logits = model.predict(inputs, verbose=0)[..., 0]
        numbers = np.where(logits > best, index + 1, numbers)
        best = np.maximum(logits, best)
    return numbers


def mean_iou(labels, numbers):
    """Of each rectangle and what is drawn for it alone, then the mean."""
    metric = MeanImageIoU(threshold=0.5)
    for number in range(1, labels.max() + 1):
        metric.update_state(labels == number, numbers == number)
    return float(metric.result())


@arguments.command
def main(argv=None):
    args = arguments.parse(build_parser(), RECIPES, argv)
    run = Run(NAME, args)

    shuffled = build_dataset(
        args, "train", shuffle_seed=args.seed, epochs_done=run.epochs_done
    ).take(args.steps_per_epoch or -1)
    test = build_dataset(args, "test")

    model = instances.mask_net(channels=1 if args.frame == "center" else 3)
    model.summary()
    model.compile(
        optimizers.cosine_adam(args, len(shuffled)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[MeanImageIoU()],
    )
    run.fit(model, shuffled, args.epochs, validation_data=test)

    best = run.best_model()
    metrics = run.evaluate(best, test=test)
    canvases = placed_rectangles.canvases(10, seed=2)
    larger = placed_rectangles.canvases(10, cells=6, seed=2)
    drawn = draw_all(args, best, canvases)
    metrics["all_iou"] = mean_iou(canvases["label"], drawn)
    metrics["larger_iou"] = mean_iou(
        larger["label"], draw_all(args, best, larger)
    )
    maps = {"rectangles": canvases["label"][0], "drawn one by one": drawn[0]}
    names = ["background", *map(str, range(1, 10))]
    run.save_figure("instances", plots.plot_classes(maps, names))
    return run.finish(metrics)


if __name__ == "__main__":
    main()
