"""Key points: where are the ball and the two players on a screen of Pong?

Five networks with three convolutions each find the three points:

- `soft_argmax`: one map per point, and `SoftArgmax2D`;
- `coordconv_soft_argmax`: the same, with a CoordConv first;
- `coordconv`: a CoordConv first, then global pooling and dense layers;
- `pooling`: the same without coordinates;
- `dense`: a dense layer that sees all positions.

    python examples/key_points.py

trains them side by side, on screens whose ball is never in the lower right
quadrant, and tests them on screens of other games, without and with the ball
there.
"""

import startup  # noqa: F401, before the rest

import keras
from keras import layers

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import pong
from keras_coordconv.experiments.evaluation.metrics import MeanPixelDistance
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import SoftArgmax2D

NAME = "key_points"
HEADS = (
    *("soft_argmax", "coordconv_soft_argmax", "coordconv", "pooling", "dense"),
)
RECIPE = {"epochs": 6, "batch_size": 16, "learning_rate": 0.003}
RECIPES = {f"--held-out {name}": RECIPE for name in ("test", "validation")}
SCREENS = {"train": 1600, "validation": 500, "test": 500, "quadrant": 500}


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and models")
    group.add_argument(
        "--heads",
        nargs="+",
        choices=HEADS,
        default=list(HEADS),
        help="the networks to train side by side (default: all)",
    )
    group.add_argument(
        "--held-out",
        choices=("test", "validation"),
        default="test",
        help="the screens to measure on: those for testing, or those for "
        "choosing settings (default: %(default)s)",
    )
    flags.add_length(group, "screens per step")
    return parser


def build_model(heads, filters=16):
    """Finds the points on a screen, by several networks without shared weights.

    Args:
        heads: Sequence of strings from `HEADS`.
        filters: Integer, number of filters of each convolution.

    Returns:
        A Functional `keras.Model` from images, `(batch, 80, 80, 1)`, to a
        dictionary with the points of each network, `(batch, 3, 2)`, the row and
        the column as fractions of the field.
    """
    image = keras.Input((80, 80, 1), name="image")
    count = len(pong.POINTS)
    frame = {"coordinate_range": (0.0, 1.0), "align": "edges"}
    same = {"padding": "same", "activation": "relu"}

    def points(head):
        if head.startswith("coordconv"):
            x = CoordConv2D(filters, 5, strides=4, **frame, **same)(image)
        else:
            x = layers.Conv2D(filters, 5, strides=4, **same)(image)
        x = layers.Conv2D(filters, 3, **same)(x)
        x = layers.Conv2D(filters, 3, dilation_rate=2, **same)(x)
        if head.endswith("soft_argmax"):
            x = layers.Conv2D(count, 1)(x)
            return SoftArgmax2D(0.1, trainable_temperature=True, **frame)(x)
        if head == "dense":
            x = layers.MaxPooling2D(2)(x)
            x = layers.Flatten()(x)
        else:
            x = layers.Conv2D(4 * filters, 1, activation="relu")(x)
            x = layers.GlobalMaxPooling2D()(x)
        x = layers.Dense(4 * filters, activation="relu")(x)
        x = layers.Dense(2 * count)(x)
        return layers.Reshape((count, 2))(x)

    outputs = {head: points(head) for head in heads}
    return keras.Model(image, outputs, name=NAME)


def load(args, subset):
    """Returns the images and points of a subset."""
    count = SCREENS[subset]
    return pong.load_screens(subset, min(args.limit_examples or count, count))


def mean_distances(true, found):
    """Computes the mean distance of each point, in pixels of the screen."""
    distances = {}
    for number, name in enumerate(pong.POINTS):
        metric = MeanPixelDistance(pong.FIELD)
        metric.update_state(true[:, number], found[:, number])
        distances[name] = float(metric.result())
    return distances


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    subsets = ["train", args.held_out]
    if args.held_out == "test":
        subsets.append("quadrant")
    screens = {subset: load(args, subset) for subset in subsets}
    with Run(NAME, args) as run:
        shuffled = (
            epochs.batches(
                screens["train"],
                args.batch_size,
                shuffle_seed=args.seed,
                epochs_done=run.epochs_done,
            )
            .map(
                lambda batch: (
                    batch["image"],
                    dict.fromkeys(args.heads, batch["points"]),
                )
            )
            .take(args.steps_per_epoch or -1)
        )
        model = build_model(args.heads)
        model.summary()
        # The networks share no weights, so the sum of their losses trains each
        # as its own loss would.
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            "mse",
            steps_per_execution=min(16, len(shuffled)),
        )
        run.fit(model, shuffled, args.epochs)

        trained = run.trained_model()
        metrics = {}
        for subset, data in screens.items():
            found = trained.predict(data["image"], verbose=0)
            for head, points in found.items():
                distances = mean_distances(data["points"], points)
                for name, distance in distances.items():
                    metrics[f"{subset}_{head}_{name}_distance"] = distance
        # Of the last subset.
        run.save_figure(
            "key_points",
            plots.plot_key_points(
                data["image"][0, ..., 0],
                pong.FIELD * data["points"][:, 0],
                {head: pong.FIELD * own[:, 0] for head, own in found.items()},
                pong.FIELD,
            ),
        )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
