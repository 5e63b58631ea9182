"""Recipes: defaults of flags that depend on other flags.

    RECIPES = {
        "--layer coordconv": {"epochs": 3, "learning_rate": 0.003},
        "--layer conv": {"epochs": 100, "learning_rate": 0.01, "width": 2},
        "--layer conv --split quadrant": {"epochs": 30},
    }

    @command
    def main(argv=None):
        args = recipes.parse(build_parser(), RECIPES, argv)

A recipe contains the defaults that apply with the flags in its key. If several
recipes apply, later ones override earlier ones. A flag that occurs only in
recipes that do not apply has no effect; giving it is an error. A recipe's
mixed_bfloat16 becomes float32 on a machine where bfloat16 is slow.
"""

import argparse
import importlib.util
import os
import pathlib
import textwrap

import keras

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import hardware
from keras_coordconv.experiments.training import results

_NOT_GIVEN = object()


def parse(parser, recipes, argv=None):
    """Parses the flags, with the defaults of the recipes that apply.

    With `--resume`, all flags are those of the run in `--workdir`, if it
    exists. An `--export-dir` that cannot be written to is reported here, before
    the training.

    Args:
        parser: `Parser`, from `flags.build_parser`.
        recipes: Dictionary from flags, written as on the command line, to their
            defaults, a dictionary of values by name.
        argv: List of strings, the flags, or `None` for those of the command
            line.

    Returns:
        `argparse.Namespace`, without the flags that have no effect.

    Raises:
        ValueError: if the flags contradict each other or the run to resume.

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
    if "dtype_policy" in settings and "dtype_policy" not in given:
        args["dtype_policy"] = _fast_policy(args["dtype_policy"])
    _check_outputs(args)
    return argparse.Namespace(**args)


def _given(parser, argv):
    """Returns the flags that are on the command line, by name."""
    names = vars(parser.parse_args([]))
    nothing = argparse.Namespace(**dict.fromkeys(names, _NOT_GIVEN))
    args = vars(parser.parse_args(argv, nothing))
    return {
        name: value for name, value in args.items() if value is not _NOT_GIVEN
    }


def _flag(name):
    return f"--{name.replace('_', '-')}"


def _flags_of_run(parser, given):
    """Returns the flags of the run to resume, if it exists."""
    folder = given.get("workdir")
    if folder is None:
        raise ValueError(
            "--resume needs --workdir, the folder of the run to resume."
        )
    if not pathlib.Path(folder, "args.json").exists():
        return {}
    started_with = results.read_flags(folder)
    unknown = sorted(started_with.keys() - vars(parser.parse_args([])).keys())
    if unknown:
        raise ValueError(
            f"The run in {folder} was started by another script: it has the "
            f"unknown flags {', '.join(unknown)}. Resume it with that script."
        )
    for name, value in flags.training_flags(given).items():
        if started_with.get(name) != value:
            raise ValueError(
                f"Flags cannot change when a run is resumed: {_flag(name)} is "
                f"{started_with.get(name)} in {folder}, received {value}. "
                "Leave the flag out, or start another run."
            )
    return {**started_with, **given}


def _describe(recipes):
    """Describes the recipes, for the end of the help."""
    lines = ["defaults that depend on other flags:"]
    for condition, recipe in recipes.items():
        given = [
            f"{_flag(name)} {f'{x:g}' if isinstance(x, float) else x}"
            for name, x in recipe.items()
            if x is not None
        ]
        # Lines do not break between a flag and its value.
        text = " ".join(flag.replace(" ", "\0") for flag in given)
        wrapped = textwrap.fill(text, 74, break_on_hyphens=False)
        lines.append(f"  {condition}\n" + textwrap.indent(wrapped, " " * 6))
    return "\n".join(lines).replace("\0", " ")


def _check_not_given(name, given, recipes):
    if name in given:
        conditions = [key for key, recipe in recipes.items() if name in recipe]
        raise ValueError(
            f"{_flag(name)} has no effect here: it applies only to "
            f"{conditions[0]}."
        )


def _check_warmup(args, given):
    if "warmup_epochs" not in given:
        args["warmup_epochs"] = min(args["warmup_epochs"], args["epochs"] / 2)
    if args["warmup_epochs"] >= args["epochs"]:
        raise ValueError(
            "--warmup-epochs must be less than --epochs. "
            f"Received: {args['warmup_epochs']:g} and {args['epochs']}"
        )


def _fast_policy(policy):
    """Returns float32 in place of a policy that is slow on this machine."""
    if policy != "mixed_bfloat16" or hardware.has_fast_bfloat16():
        return policy
    print(
        "This machine computes bfloat16 slowly, so the networks are trained in "
        "float32. For the recipe's dtype policy, pass "
        f"--dtype-policy {policy}"
    )
    return "float32"


def _check_outputs(args):
    if args["tensorboard"] and not importlib.util.find_spec("tensorboard"):
        raise ValueError(
            "--tensorboard needs the package tensorboard. "
            "Run: pip install tensorboard"
        )
    if not args.get("export_dir"):
        return
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "--export-dir needs Keras on the TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Train without it, and "
            "export model.keras with KERAS_BACKEND=tensorflow."
        )
    path = pathlib.Path(args["export_dir"]).absolute()
    while not path.exists():
        path = path.parent
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise ValueError(
            "--export-dir must be a writable folder. "
            f"Received: --export-dir {args['export_dir']}"
        )
