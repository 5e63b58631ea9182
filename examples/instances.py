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
from keras import layers

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.evaluation.metrics import MeanImageIoU
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.layers import CoordConv2D

NAME = "instances"
RECIPE = {"epochs": 5, "batch_size": 16, "learning_rate": 0.01}
RECIPES = {"--frame center": RECIPE, "--frame image": RECIPE}
# Each rectangle lies in a cell of its own, a pixel or more from its border.
CELL_SIZE = 12
SMALLEST, LARGEST = 3, 9


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--frame",
        choices=("center", "image"),
        default="center",
        help="where the coordinates are measured from (default: %(default)s)",
    )
    flags.add_length(group, "canvases a step")
    return parser


def draw_canvases(count, cells=3, seed=0):
    """Canvases of square cells with a rectangle of a random size in each.

    Args:
        count: Integer, how many canvases.
        cells: Integer, how many cells are side by side on each axis.
        seed: Integer.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 12 * cells, 12 * cells,
        1)`, 1 in the rectangles; `label`, int32 of that shape without channels,
        the number of the rectangle, from 1 on; and `center`, float32 of shape
        `(count, cells ** 2, 2)`, the middle of each in pixels.
    """
    random = np.random.default_rng(seed)
    shape = (count, cells**2, 2)
    lengths = random.integers(SMALLEST, LARGEST + 1, shape)
    places = random.integers(1, CELL_SIZE - lengths)
    cell = np.stack(np.divmod(np.arange(cells**2), cells), axis=-1)
    begin = CELL_SIZE * cell + places
    offsets = np.arange(CELL_SIZE * cells) - begin[..., None]
    rows, columns = np.moveaxis(
        (offsets >= 0) & (offsets < lengths[..., None]), 2, 0
    )
    label = np.einsum("nri,nrj,r->nij", rows, columns, 1 + np.arange(cells**2))
    return {
        "image": (label > 0)[..., None].astype("float32"),
        "label": label.astype("int32"),
        "center": (begin + (lengths - 1) / 2).astype("float32"),
    }


def make_queries(count, seed=0):
    """Canvases of 3 x 3 cells, and which of the rectangles is asked for.

    Args:
        count: Integer, how many canvases.
        seed: Integer.

    Returns:
        Dictionary of `image`, `(count, 36, 36, 1)`; `center`, `(count, 2)`, the
        middle of one rectangle; and `mask`, float32 of shape `(count, 36, 36,
        1)`, 1 in that rectangle.
    """
    examples = draw_canvases(count, seed=seed)
    number = np.random.default_rng([seed, 1]).integers(9, size=count)
    mask = examples["label"] == 1 + number[:, None, None]
    return {
        "image": examples["image"],
        "center": examples["center"][np.arange(count), number],
        "mask": mask[..., None].astype("float32"),
    }


def mask_net(channels=1, filters=16, name="mask_net"):
    """Mask of one object, from an image of any size and its coordinates.

    One net for all objects, as the mask head of
    [CondInst](https://arxiv.org/abs/2003.05664): which object is meant can be
    said by the coordinates, if they are measured from its middle.

    Args:
        channels: Integer, channels of the image.
        filters: Integer, filters of each layer but the last.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width,
        channels)`, and `affine`, `(batch, 2, 3)`, to logits of shape `(batch,
        height, width, 1)`. What a pixel gets depends on the 15 x 15 pixels
        around it.
    """
    image = keras.Input((None, None, channels), name="image")
    affine = keras.Input((2, 3), name="affine")
    same = {"padding": "same", "activation": "relu"}
    x = CoordConv2D(filters, 3, name="coordconv1", **same)(image, affine=affine)
    x = layers.Conv2D(filters, 3, dilation_rate=2, name="conv2", **same)(x)
    x = layers.Conv2D(filters, 3, dilation_rate=4, name="conv3", **same)(x)
    x = layers.Conv2D(filters, 1, name="conv4", **same)(x)
    x = layers.Conv2D(1, 1, dtype="float32", name="logits")(x)
    return keras.Model({"image": image, "affine": affine}, x, name=name)


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
    queries = make_queries(count, seed)
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


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    with Run(NAME, args) as run:
        shuffled = build_dataset(
            args, "train", shuffle_seed=args.seed, epochs_done=run.epochs_done
        ).take(args.steps_per_epoch or -1)
        test = build_dataset(args, "test")

        model = mask_net(channels=1 if args.frame == "center" else 3)
        model.summary()
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[MeanImageIoU()],
        )
        run.fit(model, shuffled, args.epochs, validation_data=test)

        best = run.best_model()
        metrics = run.evaluate(best, test=test)
        canvases = draw_canvases(10, seed=2)
        larger = draw_canvases(10, cells=6, seed=2)
        drawn = draw_all(args, best, canvases)
        metrics["all_iou"] = mean_iou(canvases["label"], drawn)
        metrics["larger_iou"] = mean_iou(
            larger["label"], draw_all(args, best, larger)
        )
        maps = {
            "rectangles": canvases["label"][0],
            "drawn one by one": drawn[0],
        }
        names = ["background", *map(str, range(1, 10))]
        run.save_figure("instances", plots.plot_classes(maps, names))
        return run.finish(metrics)


if __name__ == "__main__":
    main()
