"""Recipes: defaults of some flags that depend on other flags.

    RECIPES = {
        "--layer coordconv": {"epochs": 3, "learning_rate": 0.003},
        "--layer conv": {"epochs": 100, "learning_rate": 0.01, "width": 2},
        "--layer conv --split quadrant": {"epochs": 30},
    }

    @command
    def main(argv=None):
        args = recipes.parse(build_parser(), RECIPES, argv)

A recipe holds the defaults that go with the flags in its key. Where several
recipes fit, the later one overrides the earlier one. A setting that is only in
recipes that do not fit has no effect, and is refused.
"""

import argparse
import importlib.util
import os
import pathlib
import textwrap

import keras

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results

_NOT_GIVEN = object()


def parse(parser, recipes, argv=None):
    """Parses the flags; a recipe has the defaults of what is not given.

    With `--resume`, all flags are those of the run in `--workdir`, if there is
    one. An export that could not be written after the training is refused here.

    Args:
        parser: From `build_parser`.
        recipes: Dictionary from flags, written as on the command line, to the
            defaults that go with them, a dictionary of values by name.
        argv: List of strings, the flags, or `None` for the command line's.

    Returns:
        An `argparse.Namespace`, without the settings that have no effect.

    Raises:
        ValueError: if the flags do not fit each other or the run.

    Example:

    >>> parse(parser, {"--layer conv": {"epochs": 2}}, ["--layer", "conv"])
    Namespace(layer='conv', epochs=2)
    """
    parser.epilog = _describe(recipes)
    args = vars(parser.parse_args(argv))
    given = _given(parser, argv)
    if args["resume"]:
        given |= _flags_of_run(parser, given)
        args |= given
    settings = {}
    for condition, recipe in recipes.items():
        if _given(parser, condition.split()).items() <= args.items():
            settings |= recipe
    for name in {name for recipe in recipes.values() for name in recipe}:
        if name not in settings:
            _check_not_given(name, given, recipes)
            del args[name]
        elif name not in given:
            args[name] = settings[name]
    if "warmup_epochs" in settings:
        _check_warmup(args, given)
    _check_outputs(args)
    return argparse.Namespace(**args)


def _given(parser, argv):
    """The flags that are on the command line, by name."""
    names = vars(parser.parse_args([]))
    nothing = argparse.Namespace(**dict.fromkeys(names, _NOT_GIVEN))
    args = vars(parser.parse_args(argv, nothing))
    return {
        name: value for name, value in args.items() if value is not _NOT_GIVEN
    }


def _flag(name, value):
    return f"--{name.replace('_', '-')} {value}"


def _flags_of_run(parser, given):
    """The flags with which the run to resume was begun, if there is one."""
    folder = given.get("workdir")
    if folder is None:
        raise ValueError(
            "--resume needs the folder of the run. Received: no --workdir."
        )
    if not pathlib.Path(folder, "args.json").exists():
        return {}
    begun_with = results.read_flags(folder)
    unknown = sorted(begun_with.keys() - vars(parser.parse_args([])).keys())
    if unknown:
        raise ValueError(
            "A run is resumed by the script that began it. Received: "
            f"--workdir {folder}, with other flags: {', '.join(unknown)}."
        )
    for name, value in flags.training_flags(given).items():
        if begun_with.get(name) != value:
            raise ValueError(
                "A run is resumed with the flags it was begun with. Received: "
                f"{_flag(name, value)}, begun with {begun_with.get(name)} in "
                f"{folder}. Leave the flag out, or begin another run."
            )
    return {**begun_with, **given}


def _describe(recipes):
    """The recipes as flags, for the end of the help."""
    lines = ["defaults that depend on other flags:"]
    for condition, recipe in recipes.items():
        flags = [
            _flag(name, f"{value:g}" if isinstance(value, float) else value)
            for name, value in recipe.items()
            if value is not None
        ]
        # No line ends between a flag and its value.
        text = " ".join(flag.replace(" ", "\0") for flag in flags)
        wrapped = textwrap.fill(text, 74, break_on_hyphens=False)
        lines.append(f"  {condition}\n" + textwrap.indent(wrapped, " " * 6))
    return "\n".join(lines).replace("\0", " ")


def _check_not_given(name, given, recipes):
    if name in given:
        conditions = [key for key, recipe in recipes.items() if name in recipe]
        raise ValueError(
            "A flag without effect must be left out. Received: "
            f"{_flag(name, given[name])}, which is for {conditions[0]}."
        )


def _check_warmup(args, given):
    if "warmup_epochs" not in given:
        args["warmup_epochs"] = min(args["warmup_epochs"], args["epochs"] / 2)
    if args["warmup_epochs"] >= args["epochs"]:
        raise ValueError(
            "--warmup-epochs must be less than --epochs. "
            f"Received: {args['warmup_epochs']:g} and {args['epochs']}"
        )


def _check_outputs(args):
    if args["tensorboard"] and not importlib.util.find_spec("tensorboard"):
        raise ValueError(
            "--tensorboard needs the package tensorboard. Received: "
            f"--tensorboard {args['tensorboard']}. `pip install tensorboard`."
        )
    if not args.get("export_dir"):
        return
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "--export-dir needs Keras on the TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Train without it, and "
            "export best.keras with KERAS_BACKEND=tensorflow."
        )
    path = pathlib.Path(args["export_dir"]).absolute()
    while not path.exists():
        path = path.parent
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ValueError(
            "--export-dir must be a writable folder. "
            f"Received: --export-dir {args['export_dir']}"
        )
