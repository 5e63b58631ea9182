"""The command-line flags that all example scripts share."""

import argparse
import importlib.util
import math
import os
import pathlib
import sys

import keras

from keras_coordconv.datasets import not_so_clevr

RECIPE_DESCRIPTIONS = {
    "filter_size": "height and width of the kernels",
    "width": "factor on the number of filters",
    "epochs": "length of the training and of the cosine decay",
    "batch_size": "examples a step",
    "learning_rate": "Adam's rate after the warm-up",
    "warmup_epochs": "epochs in which the rate rises from zero",
    "l2": "weight of the penalty on the squared kernels",
    "center_loss": "weight of the loss on the centre (CoordConv only)",
}


def build_parser(description):
    """Parser with the flags that mean the same in every example.

    Args:
        description: String, the script's docstring, printed by `--help` as is.

    Returns:
        An `argparse.ArgumentParser`; each script adds its own flags to it.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of weights and data order (default: %(default)s)",
    )
    run.add_argument(
        "--workdir",
        help="folder of the run (default: the next number below runs/)",
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir, or the last one",
    )
    run.add_argument(
        "--export-dir",
        help="also export a SavedModel to the next version below this folder",
    )
    run.add_argument(
        "--dtype-policy",
        type=dtype_policy,
        default="float32",
        help="Keras dtype policy, as mixed_bfloat16 (default: %(default)s)",
    )
    run.add_argument(
        "--limit-examples",
        type=positive_integer,
        help="use only so many examples of each set",
    )
    run.add_argument(
        "--steps-per-epoch",
        type=positive_integer,
        help="train only so many batches an epoch",
    )
    run.add_argument(
        "--tensorboard",
        metavar="FOLDER",
        help="write TensorBoard logs there (needs `pip install tensorboard`)",
    )
    return parser


def build_task_parser(description):
    """`build_parser` for a task on Not-so-Clevr: with `--layer`, `--split`.

    Returns:
        Tuple of the parser and its group for flags of data and model.
    """
    parser = build_parser(description)
    group = parser.add_argument_group("data and model")
    group.add_argument(
        "--layer",
        choices=("coordconv", "conv"),
        default="coordconv",
        help="which net to train (default: %(default)s)",
    )
    group.add_argument(
        "--split",
        choices=not_so_clevr.SPLITS,
        default="quadrant",
        help="test centres at random or in one quarter (default: %(default)s)",
    )
    return parser, group


def add_recipe(parser, recipes, descriptions=None):
    """Adds the training settings, whose defaults depend on other flags.

    Args:
        parser: From `build_parser`.
        recipes: Dictionary from what the settings depend on, a tuple of
            strings such as the values of `--layer` and `--split`, to the
            settings by name.
        descriptions: Dictionary of descriptions by name, where those of
            `RECIPE_DESCRIPTIONS` do not fit.

    Returns:
        The parser's group for settings of the training.
    """
    group = parser.add_argument_group("training")
    names = next(iter(recipes.values()))
    descriptions = {**RECIPE_DESCRIPTIONS, **(descriptions or {})}
    for name in names:
        defaults = {key: recipe[name] for key, recipe in recipes.items()}
        values = set(defaults.values())
        listed = ", ".join(
            f"{value:g}" + (f" for {' '.join(key)}" if len(values) > 1 else "")
            for key, value in defaults.items()
            if len(values) > 1 or key == next(iter(defaults))
        )
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=_type_of(next(iter(values))),
            help=f"{descriptions[name]} (default: {listed})",
        )
    return group


def parse(parser, recipes, choose_recipe, argv=None):
    """Parses the flags and fills in the recipe that they choose.

    What would fail only after the training is refused here.

    Args:
        parser: From `build_parser`.
        recipes: As for `add_recipe`.
        choose_recipe: Function from the flags to a key of `recipes`.
        argv: List of strings, the flags, or `None` for the command line's.
    """
    args = parser.parse_args(argv)
    for name, value in recipes[choose_recipe(args)].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.warmup_epochs >= args.epochs:
        parser.error(
            "--warmup-epochs must be less than --epochs. Received: "
            f"--warmup-epochs {args.warmup_epochs:g} --epochs {args.epochs}"
        )
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        parser.error(
            "--tensorboard needs the package tensorboard. Received: "
            f"--tensorboard {args.tensorboard}. `pip install tensorboard`."
        )
    if args.export_dir:
        _check_export(parser, args.export_dir)
    return args


def positive_integer(text):
    """A flag's type: an integer from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {text}")
    return value


def not_negative_number(text):
    """A flag's type: a number from 0 on."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be at least 0, received {text}")
    return value


def fraction(text):
    """A flag's type: a number from 0 up to, but without, 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f"must be at least 0 and less than 1, received {text}"
        )
    return value


def dtype_policy(text):
    """A flag's type: the name of a Keras dtype policy."""
    try:
        return keras.dtype_policies.get(text).name
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(
            "must be a Keras dtype policy, as float32 or mixed_bfloat16, "
            f"received {text}"
        ) from None


def exit_with_error(error):
    """Prints one line that says what to do, and exits with status 2."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def _type_of(default):
    return positive_integer if isinstance(default, int) else not_negative_number


def _check_export(parser, folder):
    if keras.backend.backend() != "tensorflow":
        parser.error(
            "--export-dir needs Keras on the TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Train without it, and "
            "export best.keras with KERAS_BACKEND=tensorflow."
        )
    path = pathlib.Path(folder).absolute()
    while not path.exists():
        path = path.parent
    if not path.is_dir() or not os.access(path, os.W_OK):
        parser.error(
            "--export-dir must be a writable folder. "
            f"Received: --export-dir {folder}"
        )
