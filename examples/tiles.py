"""Coordinates of the world: trained on crops, right on the whole and in tiles.

White squares on a canvas of 96x96 are to be named by the half of the canvas
that they lie in. The net sees random crops of 32x32.

    python examples/tiles.py

gives it the coordinates that the crop has in the whole (`window_ranges`).
Applied to the whole canvas, or tile by tile, it gives the same classes, without
seams, and they are right.

    python examples/tiles.py --frame tensor

gives it the coordinates of the tensor, -1 to 1 for every crop, as CoordConv
does by itself. The left half of a crop is not that of the canvas.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv import plots
from keras_coordconv import window_ranges
from keras_coordconv.datasets import passes
from keras_coordconv.datasets import placed_squares
from keras_coordconv.datasets.placed_squares import CANVAS_SIZE
from keras_coordconv.models import tiles
from keras_coordconv.models.tiles import MARGIN
from keras_coordconv.training import arguments
from keras_coordconv.training import optimizers
from keras_coordconv.training.run import Run

NAME = "tiles"
TILE_SIZE = 32
FRAME = [[-1.0, 1.0], [-1.0, 1.0]]


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
    for name, kind, default, text in (
        ("--epochs", arguments.positive_integer, 10, "length of the training"),
        ("--batch-size", arguments.positive_integer, 16, "crops a step"),
        (
            "--learning-rate",
            arguments.not_negative_number,
            0.01,
            "learning rate at the start, of half a cosine",
        ),
    ):
        group.add_argument(
            name,
            type=kind,
            default=default,
            help=f"{text} (default: {default})",
        )
    return parser


def ranges_of(args, begin, size):
    """The coordinates of windows that begin at these pixels of the canvas."""
    ranges = np.tile(np.array([FRAME], "float32"), (len(begin), 1, 1))
    if args.frame == "tensor":
        return ranges
    whole = (CANVAS_SIZE, CANVAS_SIZE)
    return keras.ops.convert_to_numpy(
        window_ranges(ranges, whole, begin, (size, size))
    )


def build_dataset(args, subset, **order):
    seed = {"train": 0, "test": 1}[subset]
    count = args.limit_examples or {"train": 2000, "test": 400}[subset]
    examples = placed_squares.crops(count, TILE_SIZE, MARGIN, seed)
    begin = examples.pop("begin")
    examples["ranges"] = ranges_of(args, begin, TILE_SIZE)
    return passes.batches(examples, args.batch_size, **order).map(
        lambda batch: (
            {"image": batch["image"], "ranges": batch["ranges"]},
            batch["label"],
        )
    )


def predict_whole(args, model, images):
    """Logits for whole canvases, at all pixels but the margin."""
    begin = np.zeros((len(images), 2), "int32")
    ranges = ranges_of(args, begin, CANVAS_SIZE)
    return model.predict({"image": images, "ranges": ranges}, verbose=0)


def predict_tiles(args, model, images):
    """The same, of tiles whose outputs lie beside each other."""
    inside = TILE_SIZE - 2 * MARGIN
    last = CANVAS_SIZE - TILE_SIZE
    begins = sorted({*range(0, last, inside), last})
    logits = None
    for row in begins:
        for column in begins:
            parts = images[
                :, row : row + TILE_SIZE, column : column + TILE_SIZE
            ]
            begin = np.tile([[row, column]], (len(images), 1))
            ranges = ranges_of(args, begin, TILE_SIZE)
            tile = model.predict({"image": parts, "ranges": ranges}, verbose=0)
            if logits is None:
                size = CANVAS_SIZE - 2 * MARGIN
                logits = np.zeros((len(images), size, size, tile.shape[-1]))
            logits[:, row : row + inside, column : column + inside] = tile
    return logits


@arguments.command
def main(argv=None):
    args = arguments.parse(build_parser(), {}, argv)
    run = Run(NAME, args)

    shuffled = build_dataset(
        args, "train", shuffle_seed=args.seed, passes_done=run.epochs_done
    ).take(args.steps_per_epoch or -1)
    test = build_dataset(args, "test")

    model = tiles.place_segmenter(len(placed_squares.CLASSES))
    model.summary()
    model.compile(
        keras.optimizers.Adam(
            optimizers.warmup_cosine(
                args.learning_rate, args.epochs * len(shuffled)
            )
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    run.fit(model, shuffled, args.epochs, validation_data=test)

    best = run.best_model()
    canvases = placed_squares.canvases(20, seed=2)
    inside = slice(MARGIN, CANVAS_SIZE - MARGIN)
    labels = canvases["label"][:, inside, inside]
    whole = predict_whole(args, best, canvases["image"])
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
    maps = {
        "truth": labels[0],
        "read as a whole": whole[0].argmax(-1),
        "read in tiles": in_tiles[0].argmax(-1),
    }
    run.save_figure("classes", plots.plot_classes(maps, placed_squares.CLASSES))
    return run.finish(metrics)


if __name__ == "__main__":
    main()
