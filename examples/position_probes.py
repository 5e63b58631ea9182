"""Probes: experiments on two objections to CoordConv.

"Zero padding already tells a convolution where it is" (Islam et al., 2020,
https://arxiv.org/abs/2001.08248; Kayhan and van Gemert, 2020,
https://arxiv.org/abs/2003.07064).

    python examples/position_probes.py

trains a readout of the row on top of random convolutions: with "same" padding,
with "valid" padding, and with a CoordConv as the readout.

    python examples/position_probes.py --probe side

predicts on which side of the canvas a patch is. The accuracy is plotted over
the distance of the patch from the border.

"CoordConv does not help where the network downsamples."

    python examples/position_probes.py --probe strides --split quadrant

predicts the position of a white pixel: with and without strides, and with a
dense layer or global average pooling at the end.

Each run trains several networks, one after another in each epoch.
"""

import startup  # noqa: F401, before the rest

import itertools

import keras
import numpy as np
from keras import initializers
from keras import layers

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.layers import CoordConv2D

NAME = "position_probes"
RECIPES = {
    "--probe row": {"epochs": 40, "learning_rate": 0.01},
    "--probe side": {"epochs": 40, "learning_rate": 0.003},
    "--probe strides": {
        "epochs": 20,
        "learning_rate": 0.003,
        "split": "uniform",
        "coordinate_limit": 0.1,
    },
}
LOSSES = {
    "row": "mse",
    "side": keras.losses.BinaryCrossentropy(from_logits=True),
    "strides": "mse",
}
# `distance` is in pixels.
SCORES = {"row": "distance", "side": "accuracy", "strides": "distance"}
POSITIONS = {
    "row": "row [pixel]",
    "side": "distance of the patch's center from the nearer side [pixel]",
    "strides": "distance of the pixel from the nearer side [pixel]",
}
PATCH_SIZES = {"side": 3, "strides": 1}
BATCH_SIZE = 16
CANVAS_SIZE = 32
CONVOLUTIONS = {"conv": layers.Conv2D, "coordconv": CoordConv2D}
FILTERS = 16
SPLITS = ("uniform", "quadrant")
# Fraction of the uniform split that is used for testing, as in Not-so-Clevr.
TEST_FRACTION = 0.25


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and training")
    group.add_argument(
        "--probe",
        choices=("row", "side", "strides"),
        default="row",
        help="experiment to run (default: %(default)s)",
    )
    group.add_argument(
        "--split",
        choices=SPLITS,
        help="test positions: random, or one quadrant",
    )
    group.add_argument(
        "--coordinate-limit",
        type=flags.not_negative_number,
        help="coordinates range from minus this to this; a white pixel is 1",
    )
    group.add_argument(
        "--epochs",
        type=flags.positive_integer,
        help="number of epochs",
    )
    group.add_argument(
        "--learning-rate",
        type=flags.not_negative_number,
        help="initial learning rate, decayed to 0 as half a cosine",
    )
    return parser


def row_readout(layer="conv", padding="same", depth=8):
    """Model that reads the row out of random convolutions.

    The 3x3 convolutions keep their random weights; only the 1x1 readout is
    trained. It shows how much row information a random network leaks.

    Args:
        layer: String, layer of the readout: `"conv"` or `"coordconv"`.
        padding: String, padding of the random convolutions. With `"valid"`, the
            output covers only the middle of the canvas.
        depth: Integer, number of random convolutions. The padding affects the
            output up to `depth` pixels from the border.

    Returns:
        A Functional `keras.Model` from `image` to a map of rows,
        `(batch, size, size, 1)`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = inputs
    for index in range(1, depth + 1):
        x = apply_convolution(
            x, "conv", index, padding=padding, trainable=False
        )
    readout = CONVOLUTIONS[layer](1, 1, dtype="float32", name="row")
    return keras.Model(inputs, readout(x), name=f"{layer}_{padding}")


def side_classifier(layer="conv", padding="same", depth=4):
    """Model that predicts whether the patch is on the right side.

    The convolutions are followed by global max pooling.

    Args:
        layer: String, the first layer: `"conv"` or `"coordconv"`.
        padding: String, padding of all convolutions.
        depth: Integer, number of 3x3 convolutions.

    Returns:
        A Functional `keras.Model` from `image` to one logit, `(batch, 1)`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = apply_convolution(inputs, layer, 1, padding=padding)
    for index in range(2, depth + 1):
        x = apply_convolution(x, "conv", index, padding=padding)
    x = layers.GlobalMaxPooling2D(name="highest")(x)
    logit = layers.Dense(1, dtype="float32", name="side")(x)
    return keras.Model(inputs, logit, name=f"{layer}_{padding}")


def strided_regressor(
    layer="conv", strides=2, head="dense", depth=4, coordinate_limit=1.0
):
    """Model that predicts the (x, y) of a white pixel.

    Args:
        layer: String, the first layer: `"conv"` or `"coordconv"`.
        strides: Integer, strides of each 3x3 convolution.
        head: String. `"dense"`: a dense layer over all positions. `"average"`:
            global average pooling, then a dense layer.
        depth: Integer, number of convolutions.
        coordinate_limit: Float. Coordinates range from minus this to this. The
            white pixel is 1.

    Returns:
        A Functional `keras.Model` from `image` to `(batch, 2)`, (x, y) as
        fractions of the canvas.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = inputs
    for index in range(1, depth + 1):
        coordinates = {}
        if layer == "coordconv" and index == 1:
            coordinates = {
                "coordinate_range": (-coordinate_limit, coordinate_limit)
            }
        x = apply_convolution(
            x,
            layer if index == 1 else "conv",
            index,
            strides=strides,
            padding="same",
            **coordinates,
        )
    if head == "dense":
        x = layers.Flatten(name="features")(x)
    else:
        x = layers.GlobalAveragePooling2D(name="average")(x)
    location = layers.Dense(2, dtype="float32", name="location")(x)
    return keras.Model(
        inputs, location, name=f"{layer}_strides{strides}_{head}"
    )


def apply_convolution(x, layer, index, **arguments):
    return CONVOLUTIONS[layer](
        FILTERS,
        3,
        activation="relu",
        kernel_initializer=initializers.HeNormal(),
        name=f"{layer}{index}",
        **arguments,
    )(x)


def build_models(args):
    """Builds the models to compare."""
    if args.probe == "strides":
        return [
            strided_regressor(
                layer, strides, head, coordinate_limit=args.coordinate_limit
            )
            for head, strides, layer in itertools.product(
                ("dense", "average"), (1, 2), ("conv", "coordconv")
            )
        ]
    build = {
        "row": row_readout,
        "side": side_classifier,
    }[args.probe]
    return [
        build(layer, padding)
        for layer, padding in (
            ("conv", "valid"),
            ("conv", "same"),
            ("coordconv", "same"),
        )
    ]


def patches(split="uniform", subset="train", patch_size=1, limit_examples=None):
    """Draws a white patch at every position of a black canvas.

    Args:
        split: String. `"uniform"`: the test set is a random quarter of the
            positions, the same in each call. `"quadrant"`: it is the lower
            right quadrant.
        subset: String, `"train"` or `"test"`.
        patch_size: Odd integer, height and width of the patch in pixels. The
            whole patch lies on the canvas.
        limit_examples: Integer, maximum number of examples, as for
            `not_so_clevr.load_arrays`.

    Returns:
        Dictionary of `location`, float32 of shape `(examples, 2)`, the (x, y)
        of the patch's center in pixels; and `image`, float32 of shape
        `(examples, 32, 32, 1)`, 1 in the patch.
    """
    margin = patch_size // 2
    inside = np.arange(margin, CANVAS_SIZE - margin)
    centers = np.stack(np.meshgrid(inside, inside), axis=-1).reshape(-1, 2)
    if split == "uniform":
        random = np.random.default_rng(0).uniform(size=len(centers))
        is_test = random < TEST_FRACTION
    else:
        is_test = (centers >= CANVAS_SIZE / 2).all(axis=-1)
    centers = centers[is_test if subset == "test" else ~is_test]
    centers = epochs.spread_evenly(centers, limit_examples)
    pixels = np.arange(CANVAS_SIZE)
    x, y = (abs(pixels - centers[:, axis, None]) <= margin for axis in (0, 1))
    image = y[:, :, None, None] & x[:, None, :, None]
    return {
        "location": centers.astype("float32"),
        "image": image.astype("float32"),
    }


def build_examples(args, subset, model):
    """Builds arrays: `image`, `target`, and `position` for the figure."""
    if args.probe == "row":
        return build_noise(subset, args.limit_examples, model.output_shape[1])
    features = patches(
        args.split if args.probe == "strides" else "uniform",
        subset,
        patch_size=PATCH_SIZES[args.probe],
        limit_examples=args.limit_examples,
    )
    location = features["location"]
    middle = (CANVAS_SIZE - 1) / 2
    return {
        "image": features["image"],
        "target": location[:, :1] > middle
        if args.probe == "side"
        else location / CANVAS_SIZE,
        # Distance from the nearer border, left or right.
        "position": middle - abs(location[:, :1] - middle),
    }


def build_noise(subset, limit_examples, size):
    """Builds images of noise, and the row of each position in the middle."""
    count = limit_examples or 512
    random = np.random.default_rng(["train", "test"].index(subset))
    margin = (CANVAS_SIZE - size) // 2
    rows = np.arange(margin, margin + size, dtype="float32")
    rows = np.broadcast_to(rows[:, None, None], (count, size, size, 1))
    shape = (count, CANVAS_SIZE, CANVAS_SIZE, 1)
    return {
        "image": random.uniform(size=shape).astype("float32"),
        "target": rows / CANVAS_SIZE,
        "position": rows,
    }


def score(args, model, examples):
    """Computes the score of each prediction, like `examples["position"]`."""
    target, answer = (
        examples["target"],
        model.predict(examples["image"], verbose=0),
    )
    if args.probe == "side":
        return (answer > 0) == target
    return CANVAS_SIZE * np.linalg.norm(answer - target, axis=-1, keepdims=True)


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    with Run(NAME, args) as run:
        models = build_models(args)
        examples = {
            (model.name, subset): build_examples(args, subset, model)
            for model in models
            for subset in ("train", "test")
        }
        for model in models:
            count = len(examples[model.name, "train"]["image"])
            model.compile(
                optimizers.cosine_adam(args, -(-count // BATCH_SIZE)),
                LOSSES[args.probe],
            )
        shuffled = {
            model.name: epochs.batches(
                examples[model.name, "train"],
                BATCH_SIZE,
                shuffle_seed=args.seed,
                epochs_done=run.epochs_done,
            )
            .map(lambda batch: (batch["image"], batch["target"]))
            .take(args.steps_per_epoch or -1)
            for model in models
        }
        first, *others = models
        run.track(first, **{model.name: model for model in others})
        for epoch in run.epochs(args.epochs):
            logs = {}
            for model in models:
                trained = model.fit(
                    shuffled[model.name], shuffle=False, verbose=0
                )
                logs[f"{model.name}_loss"] = trained.history["loss"][0]
            run.end_epoch(logs)
            losses = ", ".join(
                f"{name} {loss:.4g}" for name, loss in logs.items()
            )
            print(f"epoch {epoch}/{args.epochs}: {losses}")

        metrics, by_position = {}, {}
        for model in models:
            for subset in ("train", "test"):
                scores = score(args, model, examples[model.name, subset])
                name = f"{model.name}_{subset}_{SCORES[args.probe]}"
                metrics[name] = float(scores.mean())
                if args.probe == "row":
                    # Fraction of the variance that the readout explains.
                    rows = examples[model.name, subset]["position"]
                    metrics[f"{model.name}_{subset}_r2"] = float(
                        1 - np.mean(scores**2) / np.var(rows)
                    )
            by_position[model.name] = (
                examples[model.name, "test"]["position"],
                scores,
            )
        run.save_figure(
            "by_position",
            plots.plot_by_position(
                by_position, POSITIONS[args.probe], SCORES[args.probe]
            ),
        )
        return run.finish(metrics)


if __name__ == "__main__":
    main()
