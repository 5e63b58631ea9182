"""Climate from relief: which of five climates does each place on Earth have?

A network sees a landscape as relief, 32 x 32 degrees at a time, and predicts
the main Köppen-Geiger class of each pixel. Africa's deserts look like its
savannas: without the latitude, relief alone does not determine the climate.

    python examples/climate.py

trains a network whose first layer is a CoordConv with the latitude and
longitude of each crop, its `affine`. One in four blocks of 10 x 10 degrees is
held out. `--coordinates none` trains a plain convolution instead; other choices
are the latitude alone, encodings of both coordinates, and the coordinates of
the tensor, which are meaningless for crops.

    python examples/climate.py --split continent

holds out South America.

Each run also scores three methods without a network: the most frequent class of
a latitude, the nearest training pixel, and gradient-boosted trees.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np
from keras import layers

from keras_coordconv.encodings import FourierFeatures
from keras_coordconv.encodings import Periodic
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import koppen
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.layers import CoordConv2D

NAME = "climate"
COORDINATES = ("world", "latitude", "periodic", "fourier", "tensor", "none")
RECIPE = {"epochs": 10, "batch_size": 16, "learning_rate": 0.01}
RECIPES = {f"--coordinates {name}": RECIPE for name in COORDINATES}
ENCODINGS = {
    # Longitudes are in [-1, 1].
    "periodic": Periodic(2.0, coordinates=(1,)),
    "fourier": FourierFeatures(4, include_coordinates=True),
}
SIZE, MARGIN = 32, 3
CROPS = 1600


def build_parser():
    parser = flags.build_parser(__doc__)
    group = parser.add_argument_group("data and model")
    group.add_argument(
        "--coordinates",
        choices=COORDINATES,
        default="world",
        help="inputs of the first layer besides the relief: latitude and "
        "longitude, only latitude, longitude as sine and cosine, Fourier "
        "features of both, coordinates within the crop, or nothing "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--split",
        choices=koppen.SPLITS,
        default="blocks",
        help="what is held out: one in four blocks of 10 degrees, or South "
        "America (default: %(default)s)",
    )
    flags.add_length(group, "crops per step")
    return parser


def build_model(coordinates, filters=24, name="climate"):
    """Predicts the climate of each pixel from the relief around it.

    Args:
        coordinates: String, one of `COORDINATES`.
        filters: Integer, number of filters of the 3x3 convolutions.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `relief`, `(batch, height, width, 3)`,
        and `affine`, `(batch, 2, 3)`, to logits of shape `(batch, height - 6,
        width - 6, 5)`.
    """
    relief = keras.Input((None, None, 3), name="relief")
    affine = keras.Input((2, 3), name="affine")
    if coordinates == "none":
        x = layers.Conv2D(filters, 3, activation="relu")(relief)
    else:
        layer = CoordConv2D(
            filters, 3, activation="relu", encoding=ENCODINGS.get(coordinates)
        )
        if coordinates == "tensor":
            x = layer(relief)
        else:
            count = 1 if coordinates == "latitude" else 2
            x = layer(relief, affine=affine[:, :count])
    for _ in range(2):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
    x = layers.Conv2D(4 * filters, 1, activation="relu")(x)
    x = layers.Conv2D(len(koppen.CLASSES), 1, dtype="float32", name="logits")(x)
    return keras.Model({"relief": relief, "affine": affine}, x, name=name)


def serving_outputs(logits):
    return {"probabilities": keras.ops.softmax(logits)}


def mean_accuracy(climate, found, is_counted):
    """Computes the mean of the accuracies of all classes."""
    is_right = (climate == found)[is_counted]
    true = climate[is_counted]
    return float(np.mean([is_right[true == one].mean() for one in set(true)]))


def without_network(maps, is_test):
    """Predicts classes without a network: a dictionary by method."""
    from scipy.spatial import KDTree
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    climate = maps["climate"]
    rows, columns = np.indices(climate.shape)
    is_train = (climate >= 0) & ~is_test
    latitude, longitude = (
        np.radians(angles[index])
        for angles, index in zip(koppen.centers(), (rows, columns), strict=True)
    )
    points = np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ],
        axis=-1,
    )
    nearest = KDTree(points[is_train]).query(points)[1]
    counts = np.stack(
        [
            ((climate == one) & is_train).sum(axis=1)
            for one in range(len(koppen.CLASSES))
        ]
    )
    table = np.stack([rows, columns, *np.moveaxis(maps["relief"], -1, 0)], -1)
    trees = HistGradientBoostingClassifier(random_state=0)
    # More threads than free cores would wait for each other.
    with threadpool_limits(1):
        trees.fit(table[is_train], climate[is_train])
    return {
        "latitude": np.broadcast_to(
            counts.argmax(axis=0)[:, None], climate.shape
        ),
        "nearest": climate[is_train][nearest],
        "trees": trees.predict(table.reshape(-1, 5)).reshape(climate.shape),
    }


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    maps = koppen.load_maps()
    is_test = koppen.held_out(args.split)
    with Run(NAME, args) as run:
        shuffled = koppen.crops(
            maps,
            ~is_test,
            args.limit_examples or CROPS,
            SIZE,
            MARGIN,
            args.batch_size,
            args.seed,
            shuffle_seed=args.seed,
            epochs_done=run.epochs_done,
        ).take(args.steps_per_epoch or -1)
        model = build_model(args.coordinates)
        model.summary()
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=["accuracy"],
        )
        run.fit(model, shuffled, args.epochs)

        trained = run.trained_model()
        inputs, _, _ = koppen.whole(maps, is_test, MARGIN)
        found = {
            "network": trained.predict(inputs, verbose=0)[0].argmax(-1),
            **without_network(maps, is_test),
        }
        metrics = {}
        is_land = maps["climate"] >= 0
        for subset, pixels in (("train", ~is_test), ("test", is_test)):
            for method, classes in found.items():
                prefix = subset if method == "network" else f"{subset}_{method}"
                is_right = classes == maps["climate"]
                metrics |= {
                    f"{prefix}_accuracy": float(
                        is_right[is_land & pixels].mean()
                    ),
                    f"{prefix}_mean_accuracy": mean_accuracy(
                        maps["climate"], classes, is_land & pixels
                    ),
                }
        run.save_figure(
            "climate",
            plots.plot_globe(
                {
                    "Köppen-Geiger": np.maximum(maps["climate"], 0),
                    f"--coordinates {args.coordinates}": found["network"],
                },
                maps["climate"],
                is_test,
                koppen.CLASSES,
            ),
        )
        if args.export_dir:
            run.export(trained, metrics, outputs=serving_outputs)
        return run.finish(metrics)


if __name__ == "__main__":
    main()
