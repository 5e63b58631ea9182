"""Global coordinates: train on crops, predict the whole canvas or its tiles.

The network labels the white squares on a canvas of 96x96 by the half of the
canvas they lie in. It is trained on random crops of 32x32.

    python examples/tiles.py

gives each crop its coordinates in the whole canvas (`crop_affine`). The
predictions for the whole canvas and tile by tile (`predict_in_tiles`) are
correct and equal, without seams.

    python examples/tiles.py --frame tensor

gives every crop coordinates from -1 to 1, as CoordConv does by default. But the
left half of a crop is not the left half of the canvas.

    python examples/tiles.py --axes 3

does the same with cubes in a volume of 48x48x48 and patches of 16x16x16, as in
a scan whose left and right organs look alike.
"""

import startup  # noqa: F401, before the rest

import itertools

import keras
import numpy as np
from keras import layers

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.frames import affine_from_range
from keras_coordconv.frames import crop_affine
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import CoordConv3D
from keras_coordconv.tiles import predict_in_tiles

NAME = "tiles"
# Sizes in pixels, by the number of axes.
CANVAS_SIZE = {2: 96, 3: 48}
TILE_SIZE = {2: 32, 3: 16}
SQUARE_SIZE = 5
SQUARES = 24
# A pixel is in no square, or in a square and in the first or the second half of
# the last axis.
CLASSES = ("background", "left", "right")
# Pixels at each border without an output, due to two 3x3 convolutions.
MARGIN = 2
RECIPES = {
    "--axes 2": {"epochs": 10, "batch_size": 16, "learning_rate": 0.01},
    "--axes 3": {"epochs": 4, "batch_size": 16, "learning_rate": 0.01},
}


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--frame",
        choices=("world", "tensor"),
        default="world",
        help="frame of the coordinates: the whole canvas, or -1 to 1 in each "
        "crop (default: %(default)s)",
    )
    group.add_argument(
        "--axes",
        type=int,
        choices=(2, 3),
        default=2,
        help="images or volumes (default: %(default)s)",
    )
    flags.add_length(group, "crops per step")
    return parser


def draw_canvases(count, seed=0, axes=2):
    """Draws canvases with squares at random positions.

    Args:
        count: Integer, number of canvases.
        seed: Integer.
        axes: Integer, 2 or 3.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 96, 96, 1)` or `(count,
        48, 48, 48, 1)`, 1 in the squares; and `label`, int32 of the same shape
        without channels, the class of each pixel.
    """
    begin = np.zeros((count, axes), int)
    squares, half = draw_windows(count, begin, CANVAS_SIZE[axes], seed)
    return {
        "image": squares[..., None].astype("float32"),
        "label": (squares * half).astype("int32"),
    }


def draw_crops(count, size, margin=0, seed=0, axes=2):
    """Draws random crops of canvases, and returns their positions.

    Args:
        count: Integer, number of crops, one of each canvas that `draw_canvases`
            draws with this seed.
        size: Integer, size of the crops on each axis.
        margin: Integer, number of pixels at each border without a label.
        seed: Integer.
        axes: Integer, 2 or 3.

    Returns:
        Dictionary of `image`, `(count, size, size, 1)` with two axes; `label`,
        `(count, size - 2 * margin, size - 2 * margin)`; and `begin`, int32 of
        shape `(count, axes)`, the crop's first pixel.
    """
    random = np.random.default_rng([seed, 1])
    begin = random.integers(CANVAS_SIZE[axes] - size + 1, size=(count, axes))
    squares, half = draw_windows(count, begin, size, seed)
    inside = (slice(None), *[slice(margin, size - margin)] * axes)
    return {
        "image": squares[..., None].astype("float32"),
        "label": (squares * half)[inside].astype("int32"),
        "begin": begin.astype("int32"),
    }


def draw_windows(count, begin, size, seed):
    """Draws windows of canvases: the squares, and the half of each pixel."""
    axes = begin.shape[1]
    random = np.random.default_rng(seed)
    corners = random.integers(
        CANVAS_SIZE[axes] - SQUARE_SIZE + 1, size=(count, SQUARES, axes)
    )
    # Of shape (count, axes, size), then (count, squares, axes, size).
    pixels = begin[..., None] + np.arange(size)
    offsets = pixels[:, None] - corners[..., None]
    covered = (offsets >= 0) & (offsets < SQUARE_SIZE)
    of_axis = np.moveaxis(covered, 2, 0).astype("float32")
    terms = "nsi,nsj->nij" if axes == 2 else "nsi,nsj,nsk->nijk"
    squares = np.einsum(terms, *of_axis, optimize=True) > 0
    half = 1 + (pixels[:, -1] >= CANVAS_SIZE[axes] // 2)
    return squares, half.reshape(count, *[1] * (axes - 1), size)


def segmentation_model(classes=3, filters=16, axes=2, name="segmentation"):
    """Segmentation model whose classes depend on position.

    With "valid" padding, the output at a pixel depends only on the pixels
    around it and on their coordinates.

    Args:
        classes: Integer, number of classes.
        filters: Integer, number of filters of each layer but the last.
        axes: Integer, 2 for images, 3 for volumes.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width, 1)`
        with two axes, and `affine`, `(batch, axes, axes + 1)`, to logits of
        shape `(batch, height - 4, width - 4, classes)`.
    """
    coord_conv, conv = {
        2: (CoordConv2D, layers.Conv2D),
        3: (CoordConv3D, layers.Conv3D),
    }[axes]
    image = keras.Input((*[None] * axes, 1), name="image")
    affine = keras.Input((axes, axes + 1), name="affine")
    x = coord_conv(filters, 3, activation="relu", name="coordconv1")(
        image, affine=affine
    )
    x = conv(filters, 3, activation="relu", name="conv2")(x)
    x = conv(filters, 1, activation="relu", name="conv3")(x)
    x = conv(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model({"image": image, "affine": affine}, x, name=name)


def frames_of(args, begin, size):
    """Returns the frames of windows that begin at these pixels."""
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
    examples = draw_crops(count, size, MARGIN, seed, args.axes)
    begin = examples.pop("begin")
    examples["affine"] = frames_of(args, begin, size)
    return epochs.batches(examples, args.batch_size, **order).map(
        lambda batch: (
            {"image": batch["image"], "affine": batch["affine"]},
            batch["label"],
        )
    )


def predict(args, model, images, begin):
    """Predicts the logits of windows that all begin at the same pixel."""
    begin = np.tile([begin], (len(images), 1))
    affine = frames_of(args, begin, images.shape[1])
    return model.predict(
        {"image": images, "affine": affine}, batch_size=4, verbose=0
    )


def predict_tiles(args, model, images):
    """Predicts the logits of whole canvases, tile by tile."""
    size, canvas_size = TILE_SIZE[args.axes], CANVAS_SIZE[args.axes]
    if args.frame == "world":
        affine = frames_of(args, np.zeros((1, args.axes)), canvas_size)
        return np.stack(
            [
                predict_in_tiles(
                    model, {"image": image}, size, affine, verbose=False
                )
                for image in images
            ]
        )
    # Each tile alone, in the frame of its own tensor.
    inside, last = size - 2 * MARGIN, canvas_size - size
    begins = sorted({*range(0, last, inside), last})
    outputs = (canvas_size - 2 * MARGIN,) * args.axes
    logits = np.zeros((len(images), *outputs, model.output_shape[-1]))
    for begin in itertools.product(begins, repeat=args.axes):
        window, target = (
            (slice(None), *(slice(first, first + length) for first in begin))
            for length in (size, inside)
        )
        logits[target] = predict(args, model, images[window], begin)
    return logits


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    with Run(NAME, args) as run:
        shuffled = build_dataset(
            args, "train", shuffle_seed=args.seed, epochs_done=run.epochs_done
        ).take(args.steps_per_epoch or -1)
        test = build_dataset(args, "test")

        model = segmentation_model(len(CLASSES), axes=args.axes)
        model.summary()
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        run.fit(model, shuffled, args.epochs, validation_data=test)

        trained = run.trained_model()
        canvases = draw_canvases(20, seed=2, axes=args.axes)
        inside = [slice(MARGIN, -MARGIN)] * args.axes
        labels = canvases["label"][:, *inside]
        whole = predict(args, trained, canvases["image"], [0] * args.axes)
        in_tiles = predict_tiles(args, trained, canvases["image"])
        on_squares = labels > 0
        metrics = run.evaluate(trained, test=test)
        metrics["whole_accuracy"] = np.mean(
            whole.argmax(-1)[on_squares] == labels[on_squares]
        )
        metrics["tiles_accuracy"] = np.mean(
            in_tiles.argmax(-1)[on_squares] == labels[on_squares]
        )
        metrics["tiles_largest_difference"] = abs(whole - in_tiles).max()
        metrics = {name: float(value) for name, value in metrics.items()}
        # For volumes, the middle slice.
        shown = (0, *[labels.shape[1] // 2] * (args.axes - 2))
        maps = {
            "ground truth": labels[shown],
            "predicted as a whole": whole[shown].argmax(-1),
            "predicted in tiles": in_tiles[shown].argmax(-1),
        }
        run.save_figure(
            "classes",
            plots.plot_classes(
                maps,
                CLASSES,
                grids={"predicted in tiles": TILE_SIZE[args.axes] - 2 * MARGIN},
            ),
        )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
