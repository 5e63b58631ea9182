"""Coordinates of the world: trained on crops, right on the whole and in tiles.

White squares on a canvas of 96x96 are to be named by the half of the canvas
that they lie in. The net sees random crops of 32x32.

    python examples/tiles.py

gives it the coordinates that the crop has in the whole (`crop_affine`).
Applied to the whole canvas, or tile by tile, it gives the same classes, without
seams, and they are right.

    python examples/tiles.py --frame tensor

gives it the coordinates of the tensor, -1 to 1 for every crop, as CoordConv
does by itself. The left half of a crop is not that of the canvas.

    python examples/tiles.py --axes 3

is the same with cubes in a volume of 48x48x48 and patches of 16x16x16, as of a
scan whose left and right organs look alike.
"""

import startup  # noqa: F401, before the rest

import itertools

import keras
import numpy as np

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import placed_squares
from keras_coordconv.experiments.datasets.placed_squares import CANVAS_SIZE
from keras_coordconv.experiments.models import tiles
from keras_coordconv.experiments.models.tiles import MARGIN
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.frames import affine_from_range
from keras_coordconv.frames import crop_affine

NAME = "tiles"
# By the number of axes.
TILE_SIZE = {2: 32, 3: 16}
RECIPES = {
    "--axes 2": {"epochs": 10, "batch_size": 16, "learning_rate": 0.01},
    "--axes 3": {"epochs": 4, "batch_size": 16, "learning_rate": 0.01},
}


def build_parser():
    parser = arguments.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--frame",
        choices=("world", "tensor"),
        default="world",
        help="of the coordinates: those of the canvas, or -1 to 1 in each crop "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--axes",
        type=int,
        choices=(2, 3),
        default=2,
        help="images or volumes (default: %(default)s)",
    )
    arguments.add_length(group, "crops a step")
    return parser


def frames_of(args, begin, size):
    """The frames of windows that begin at these pixels of the canvas."""
    if args.frame == "tensor":
        affine = affine_from_range((size,) * args.axes)
        return np.repeat(affine, len(begin), axis=0)
    whole = affine_from_range((CANVAS_SIZE[args.axes],) * args.axes)
    whole = np.repeat(whole, len(begin), axis=0)
    return keras.ops.convert_to_numpy(crop_affine(whole, begin))


def build_dataset(args, subset, **order):
    seed = {"train": 0, "test": 1}[subset]
    count = args.limit_examples or {"train": 2000, "test": 400}[subset]
    size = TILE_SIZE[args.axes]
    examples = placed_squares.crops(count, size, MARGIN, seed, args.axes)
    begin = examples.pop("begin")
    examples["affine"] = frames_of(args, begin, size)
    return epochs.batches(examples, args.batch_size, **order).map(
        lambda batch: (
            {"image": batch["image"], "affine": batch["affine"]},
            batch["label"],
        )
    )


def predict(args, model, images, begin):
    """Logits of windows of canvases that all begin at the same pixel."""
    begin = np.tile([begin], (len(images), 1))
    affine = frames_of(args, begin, images.shape[1])
    return model.predict(
        {"image": images, "affine": affine}, batch_size=4, verbose=0
    )


def predict_tiles(args, model, images):
    """Logits of whole canvases, from tiles whose outputs lie side by side."""
    size = TILE_SIZE[args.axes]
    inside = size - 2 * MARGIN
    last = CANVAS_SIZE[args.axes] - size
    begins = sorted({*range(0, last, inside), last})
    outputs = (CANVAS_SIZE[args.axes] - 2 * MARGIN,) * args.axes
    logits = np.zeros((len(images), *outputs, model.output_shape[-1]))
    for begin in itertools.product(begins, repeat=args.axes):
        window, target = (
            (slice(None), *(slice(first, first + length) for first in begin))
            for length in (size, inside)
        )
        logits[target] = predict(args, model, images[window], begin)
    return logits


@arguments.command
def main(argv=None):
    args = arguments.parse(build_parser(), RECIPES, argv)
    run = Run(NAME, args)

    shuffled = build_dataset(
        args, "train", shuffle_seed=args.seed, epochs_done=run.epochs_done
    ).take(args.steps_per_epoch or -1)
    test = build_dataset(args, "test")

    model = tiles.place_segmenter(len(placed_squares.CLASSES), axes=args.axes)
    model.summary()
    model.compile(
        optimizers.cosine_adam(args, len(shuffled)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    run.fit(model, shuffled, args.epochs, validation_data=test)

    best = run.best_model()
    canvases = placed_squares.canvases(20, seed=2, axes=args.axes)
    inside = [slice(MARGIN, -MARGIN)] * args.axes
    labels = canvases["label"][:, *inside]
    whole = predict(args, best, canvases["image"], [0] * args.axes)
    in_tiles = predict_tiles(args, best, canvases["image"])
    on_squares = labels > 0
    metrics = run.evaluate(best, test=test)
    metrics["whole_accuracy"] = np.mean(
        whole.argmax(-1)[on_squares] == labels[on_squares]
    )
    metrics["tiles_accuracy"] = np.mean(
        in_tiles.argmax(-1)[on_squares] == labels[on_squares]
    )
    metrics["tiles_largest_difference"] = abs(whole - in_tiles).max()
    metrics = {name: float(value) for name, value in metrics.items()}
    # Of a volume, the slice in the middle.
    shown = (0, *[labels.shape[1] // 2] * (args.axes - 2))
    maps = {
        "truth": labels[shown],
        "read as a whole": whole[shown].argmax(-1),
        "read in tiles": in_tiles[shown].argmax(-1),
    }
    run.save_figure("classes", plots.plot_classes(maps, placed_squares.CLASSES))
    return run.finish(metrics)


if __name__ == "__main__":
    main()
