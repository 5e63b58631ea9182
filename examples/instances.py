"""Instances: a network segments the object whose center is given.

The input is a canvas of 36x36 with white rectangles, and the center of one of
them. The network predicts the mask of that rectangle only, like the mask head
of CondInst (https://arxiv.org/abs/2003.05664).

    python examples/instances.py

measures the coordinates from the given center. Only these coordinates, which
differ by example, identify the rectangle.

    python examples/instances.py --frame image

measures them from the corner of the canvas, and passes the center in two more
channels. At the end, the network also segments all rectangles of a larger
canvas.
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
# Each rectangle lies in its own cell, at least one pixel from its border.
CELL_SIZE = 12
SMALLEST, LARGEST = 3, 9


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--frame",
        choices=("center", "image"),
        default="center",
        help="origin of the coordinates: the given center, or the corner of "
        "the image (default: %(default)s)",
    )
    flags.add_length(group, "canvases per step")
    return parser


def draw_canvases(count, cells=3, seed=0):
    """Draws canvases of square cells with one rectangle of random size each.

    Args:
        count: Integer, number of canvases.
        cells: Integer, number of cells per axis.
        seed: Integer.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 12 * cells, 12 * cells,
        1)`, 1 in the rectangles; `label`, int32 of the same shape without
        channels, the number of the rectangle, starting at 1; and `center`,
        float32 of shape `(count, cells ** 2, 2)`, the row and the column of the
        centers in pixels.
    """
    random = np.random.default_rng(seed)
    shape = (count, cells**2, 2)
    lengths = random.integers(SMALLEST, LARGEST + 1, shape)
    positions = random.integers(1, CELL_SIZE - lengths)
    cell = np.stack(np.divmod(np.arange(cells**2), cells), axis=-1)
    begin = CELL_SIZE * cell + positions
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
    """Draws canvases of 3 x 3 cells, and picks one rectangle of each.

    Args:
        count: Integer, number of canvases.
        seed: Integer.

    Returns:
        Dictionary of `image`, `(count, 36, 36, 1)`; `center`, `(count, 2)`, the
        center of the rectangle; and `mask`, float32 of shape `(count, 36, 36,
        1)`, 1 in the rectangle.
    """
    examples = draw_canvases(count, seed=seed)
    number = np.random.default_rng([seed, 1]).integers(9, size=count)
    mask = examples["label"] == 1 + number[:, None, None]
    return {
        "image": examples["image"],
        "center": examples["center"][np.arange(count), number],
        "mask": mask[..., None].astype("float32"),
    }


def mask_model(channels=1, filters=16, name="mask_model"):
    """Mask head: segments the instance whose center is given.

    As in [CondInst](https://arxiv.org/abs/2003.05664), one model segments all
    objects: coordinates that are measured from its center identify the object.

    Args:
        channels: Integer, number of channels of the image.
        filters: Integer, number of filters of each layer but the last.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width,
        channels)`, and `affine`, `(batch, 2, 3)`, to logits of shape `(batch,
        height, width, 1)`. The receptive field is 15 x 15 pixels.
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
    """Returns the inputs of the model, with coordinates in units of a cell."""
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


def segment_all(args, model, canvases):
    """Segments all rectangles one by one.

    Returns:
        Array like `canvases["label"]`: the number of the rectangle with the
        highest logit at each pixel, or 0 if all logits are negative.
    """
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
    """Computes the mean IOU of the rectangles and their predictions."""
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

        model = mask_model(channels=1 if args.frame == "center" else 3)
        model.summary()
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[MeanImageIoU()],
        )
        run.fit(model, shuffled, args.epochs, validation_data=test)

        trained = run.trained_model()
        metrics = run.evaluate(trained, test=test)
        canvases = draw_canvases(10, seed=2)
        larger = draw_canvases(10, cells=6, seed=2)
        predicted = segment_all(args, trained, canvases)
        metrics["all_iou"] = mean_iou(canvases["label"], predicted)
        metrics["larger_iou"] = mean_iou(
            larger["label"], segment_all(args, trained, larger)
        )
        maps = {
            "ground truth": canvases["label"][0],
            "predicted one by one": predicted[0],
        }
        names = ["background", *map(str, range(1, 10))]
        run.save_figure("instances", plots.plot_classes(maps, names))
        return run.finish(metrics)


if __name__ == "__main__":
    main()
