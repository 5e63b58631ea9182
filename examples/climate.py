"""Climate from relief: which of five climates does each place on Earth have?

Networks get landscapes as relief, 24 x 24 degrees at a time, and predict the
main Köppen-Geiger class of each pixel. Africa's deserts look like its savannas:
without the latitude, relief alone does not determine the climate.

    python examples/climate.py

trains two networks on the same landscapes, which differ in their first layer: a
convolution, and a CoordConv with the latitude and longitude of each landscape,
its `affine`. One in four blocks of 10 x 10 degrees is held out. The last figure
shows the climate that each network predicts for the whole Earth.

    python examples/climate.py --split continent

holds out South America. `--coordinates` chooses the networks: latitude and
longitude (`world`), only the latitude, encodings of both coordinates, the
coordinates of the tensor, which are meaningless for landscapes, none, or none
but a coarse view of 52 x 52 degrees around each pixel (`wide`).

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
from keras_coordconv.frames import crop_affine
from keras_coordconv.layers import CoordConv2D

NAME = "climate"
TITLES = {
    "none": "Conv2D",
    "world": "CoordConv2D with latitude and longitude",
    "latitude": "CoordConv2D with latitude",
    "periodic": "CoordConv2D with periodic longitude",
    "fourier": "CoordConv2D with Fourier features",
    "tensor": "CoordConv2D in the landscape's frame",
    "wide": "Conv2D with a wide view",
}
RECIPE = {"epochs": 20, "batch_size": 16, "learning_rate": 0.003}
RECIPES = {f"--split {split}": RECIPE for split in koppen.SPLITS}
ENCODINGS = {
    # Longitudes are in [-1, 1].
    "periodic": Periodic(2.0, coordinates=(1,)),
    "fourier": FourierFeatures(4, include_coordinates=True),
}
SIZE, CROPS = 24, 1600
# Pixels that a network needs around those that it predicts.
MARGIN, WIDE_MARGIN = 3, 28


def build_parser():
    parser = flags.build_parser(__doc__)
    group = parser.add_argument_group("data and model")
    group.add_argument(
        "--coordinates",
        nargs="+",
        choices=tuple(TITLES),
        default=["none", "world"],
        help="the networks to train, by the inputs of the first layer besides "
        "the relief: nothing, latitude and longitude, only latitude, longitude "
        "as sine and cosine, Fourier features of both, coordinates within the "
        "landscape, or nothing but a view of its surroundings (default: none "
        "world)",
    )
    group.add_argument(
        "--split",
        choices=koppen.SPLITS,
        default="blocks",
        help="what is held out: one in four blocks of 10 degrees, or South "
        "America; `validation` is for choosing settings (default: %(default)s)",
    )
    flags.add_length(group, "crops per step")
    return parser


def margin_of(names):
    """Returns how many pixels around the predicted ones networks need."""
    return WIDE_MARGIN if "wide" in names else MARGIN


def build_model(names, filters=24):
    """Predicts the climate of each pixel from the relief around it.

    Args:
        names: Sequence of strings, the networks, each a key of `TITLES`.
        filters: Integer, number of filters of the 3x3 convolutions.

    Returns:
        A Functional `keras.Model` from `relief`, `(batch, height, width, 3)`,
        and its `affine`, `(batch, 2, 3)`, to a dictionary with the logits of
        each network, `(batch, height - 2 * margin, width - 2 * margin, 5)` with
        the `margin_of(names)`.
    """
    relief = keras.Input((None, None, 3), name="relief")
    affine = keras.Input((2, 3), name="affine")
    cut = margin_of(names) - MARGIN
    near = layers.Cropping2D(cut)(relief) if cut else relief
    frame = crop_affine(affine, (cut, cut)) if cut else affine

    def logits(name):
        if name in ("none", "wide"):
            x = layers.Conv2D(filters, 3, activation="relu")(near)
        else:
            layer = CoordConv2D(
                filters, 3, activation="relu", encoding=ENCODINGS.get(name)
            )
            if name == "tensor":
                x = layer(near)
            else:
                count = 1 if name == "latitude" else 2
                x = layer(near, affine=frame[:, :count])
        for _ in range(2):
            x = layers.Conv2D(filters, 3, activation="relu")(x)
        if name == "wide":
            x = layers.Concatenate()([x, surroundings(relief, filters)])
        x = layers.Conv2D(4 * filters, 1, activation="relu")(x)
        return layers.Conv2D(len(koppen.CLASSES), 1, dtype="float32")(x)

    outputs = {name: logits(name) for name in names}
    return keras.Model({"relief": relief, "affine": affine}, outputs, name=NAME)


def surroundings(relief, filters):
    """Features of the 52 x 52 pixels around each pixel, at a quarter."""
    x = layers.AveragePooling2D(4)(relief)
    for dilation in (1, 2, 3):
        x = layers.Conv2D(
            filters, 3, dilation_rate=dilation, activation="relu"
        )(x)
    x = layers.UpSampling2D(4, interpolation="bilinear")(x)
    return layers.Cropping2D(4)(x)


def serving_outputs(logits):
    return {
        f"{name}_probabilities": keras.ops.softmax(one)
        for name, one in logits.items()
    }


def accuracy(climate, found, areas):
    """Computes the share of the area whose class was found."""
    return float(np.average(climate == found, weights=areas))


def mean_accuracy(climate, found, areas):
    """Computes the mean of the accuracies of all classes with an area."""
    classes = np.unique(climate[areas > 0])
    return float(
        np.mean(
            [
                accuracy(climate, found, areas * (climate == one))
                for one in classes
            ]
        )
    )


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
        "same_latitude": np.broadcast_to(
            counts.argmax(axis=0)[:, None], climate.shape
        ),
        "nearest_pixel": climate[is_train][nearest],
        "boosted_trees": trees.predict(table.reshape(-1, 5)).reshape(
            climate.shape
        ),
    }


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    maps = koppen.load_maps()
    is_test = koppen.held_out(args.split)
    margin = margin_of(args.coordinates)
    with Run(NAME, args) as run:
        shuffled = koppen.crops(
            maps,
            ~is_test,
            args.limit_examples or CROPS,
            SIZE,
            margin,
            args.batch_size,
            args.seed,
            shuffle_seed=args.seed,
            epochs_done=run.epochs_done,
        ).take(args.steps_per_epoch or -1)
        model = build_model(args.coordinates)
        model.summary()
        # The networks share no weights, so the sum of their losses trains each
        # as its own loss would.
        model.compile(
            optimizers.cosine_adam(args, len(shuffled)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics={name: ["accuracy"] for name in args.coordinates},
        )
        run.fit(
            model,
            shuffled.map(
                lambda inputs, labels, weights: (
                    inputs,
                    dict.fromkeys(args.coordinates, labels),
                    dict.fromkeys(args.coordinates, weights),
                )
            ),
            args.epochs,
        )

        trained = run.trained_model()
        inputs, _, _ = koppen.whole(maps, is_test, margin)
        logits = trained.predict(inputs, verbose=0)
        networks = {name: x[0].argmax(-1) for name, x in logits.items()}
        others = without_network(maps, is_test)
        areas = koppen.land_areas(maps["climate"])
        metrics = {
            f"{subset}_{method}_{score.__name__}": score(
                maps["climate"], found, areas * pixels
            )
            for subset, pixels in (("train", ~is_test), ("test", is_test))
            for method, found in {**networks, **others}.items()
            for score in (accuracy, mean_accuracy)
        }
        run.save_figure(
            "climate",
            plots.plot_globe(
                {
                    "Measured climate": np.maximum(maps["climate"], 0),
                    **{
                        f"{TITLES[name]}: "
                        f"{metrics[f'test_{name}_accuracy']:.0%} right": found
                        for name, found in networks.items()
                    },
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
