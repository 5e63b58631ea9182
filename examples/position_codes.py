"""Position codes: how coordinates differ from the alternatives.

Coordinate classification, the task of Section 4 of the CoordConv paper
(https://arxiv.org/abs/1807.03247): from (x, y) to the pixel at (x, y). The
paper's network also finds the pixel in a quadrant of the canvas where it never
saw a target. But each column and each row of that quadrant had targets; only
their combinations are new. Would another position code do as well, and what if
the columns are new?

    python examples/position_codes.py --code fourier --split band

trains the paper's network with the code "fourier" instead of coordinates, on
the split without targets in the last columns, and tests it there. All networks
are trained in the same way, with the settings that were best for their code on
validation data: `--held-out validation` trains on one part of the training set
and tests on another.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.models import position_codes
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import optimizers
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "position_codes"
# For each code, the best of four settings on the validation sets of two splits;
# for codes that cannot solve the task, the settings of "coordinates".
FOUND = {
    code: {"learning_rate": 0.003, "first_layer_scale": 0.1}
    for code in position_codes.CODES
}
FOUND["fourier"] = {"learning_rate": 0.01, "first_layer_scale": 1.0}
FOUND["relative"] = {"learning_rate": 0.01, "first_layer_scale": 0.1}
RECIPES = {
    f"--code {code}": {
        "epochs": 2,
        "batch_size": 8,
        "warmup_epochs": 0.5,
        "l2": 0.0,
        **found,
    }
    for code, found in FOUND.items()
}


def build_parser():
    parser = flags.build_parser(__doc__, exports=False)
    group = parser.add_argument_group("data and model")
    group.add_argument(
        "--code",
        choices=position_codes.CODES,
        default="coordinates",
        help="position code of the network (default: %(default)s)",
    )
    group.add_argument(
        "--split",
        choices=not_so_clevr.SPLITS,
        default="quadrant",
        help="centers that form the test set (default: %(default)s)",
    )
    group.add_argument(
        "--held-out",
        choices=("test", "validation"),
        default="test",
        help="test on the test set; or, to choose settings, on a part of the "
        "training set that is not trained on (default: %(default)s)",
    )
    group.add_argument(
        "--first-layer-scale",
        type=flags.not_negative_number,
        help="factor on the initial kernel of the first layer, 1 in the paper",
    )
    flags.add_training(parser)
    return parser


def build_dataset(args, subset, batch_size=64, **order):
    return not_so_clevr.dataset(
        args.split, subset, batch_size, args.limit_examples, **order
    ).map(lambda example: (example["location"], example["pixel"]))


def measure(model, data):
    """Computes the mean distance, and the position found for each target."""
    rows = []
    for location, _ in data:
        pixel = np.argmax(model.predict_on_batch(location), axis=-1)
        found = np.stack(np.divmod(pixel, CANVAS_SIZE)[::-1], axis=-1)
        for (x, y), (found_x, found_y) in zip(
            location.numpy().astype(int).tolist(), found.tolist(), strict=True
        ):
            rows.append(
                {"x": x, "y": y, "found_x": found_x, "found_y": found_y}
            )
    distances = [
        np.hypot(row["found_x"] - row["x"], row["found_y"] - row["y"])
        for row in rows
    ]
    return float(np.mean(distances)), rows


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    # The learning rate decays to zero, so the last epoch is used.
    with Run(NAME, args) as run:
        train = {"test": "train", "validation": "fit"}[args.held_out]
        shuffled = build_dataset(
            args,
            train,
            args.batch_size,
            shuffle_seed=args.seed,
            epochs_done=run.epochs_done,
        ).take(args.steps_per_epoch or -1)
        held_out = build_dataset(args, args.held_out)

        model = position_codes.position_classifier(
            args.code, args.l2, args.first_layer_scale
        )
        model.summary()
        model.compile(
            optimizers.paper_adam(args, len(shuffled)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=min(16, len(shuffled)),
        )
        run.fit(model, shuffled, args.epochs, validation_data=held_out)

        trained = run.trained_model()
        metrics = run.evaluate(
            trained,
            **{"train": build_dataset(args, train), args.held_out: held_out},
        )
        metrics[f"{args.held_out}_distance"], found = measure(trained, held_out)
        run_files.write_table(run.output("found.csv"), found)
        return run.finish(metrics)


if __name__ == "__main__":
    main()
