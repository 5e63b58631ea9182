"""The command line: flags that scripts share, recipes, errors in one line.

    RECIPES = {
        "--layer coordconv": {"epochs": 3, "learning_rate": 0.003},
        "--layer conv": {"epochs": 100, "learning_rate": 0.01, "width": 2},
        "--layer conv --split quadrant": {"epochs": 30},
    }

    @arguments.command
    def main(argv=None):
        args = arguments.parse(build_parser(), RECIPES, argv)

A recipe holds the defaults that go with the flags in its key. Where several
recipes fit, the later one overrides the earlier one. A setting that is only in
recipes that do not fit has no effect, and is refused.
"""

import argparse
import functools
import importlib.util
import math
import os
import pathlib
import shlex
import sys
import textwrap
import traceback

import keras

from keras_coordconv import _signals
from keras_coordconv.experiments.training import history

_NOT_GIVEN = object()


class Parser(argparse.ArgumentParser):
    """Parser that prints its description as it is, and errors in one line."""

    def __init__(self, description):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message):
        self.exit(2, f"error: {message}\n")


def build_parser(description, exports=True):
    """Parser with the flags that mean the same in every training script.

    Args:
        description: String, the script's docstring.
        exports: Boolean, whether the script can export what it trains.

    Returns:
        A `Parser`, to which the script adds its own flags.
    """
    parser = Parser(description)
    run = parser.add_argument_group("run")
    run.add_argument(
        "--seed",
        type=seed,
        default=0,
        help="seed of weights, data order and random numbers (default: 0)",
    )
    run.add_argument(
        "--dtype-policy",
        type=dtype_policy,
        default="float32",
        help="Keras dtype policy, as mixed_bfloat16 (default: %(default)s)",
    )
    for name, kind, text in (
        ("--workdir", str, "folder of the run (default: a new one in runs/)"),
        ("--tensorboard", str, "folder to which TensorBoard's logs go"),
        ("--limit-examples", positive_integer, "examples of each set, at most"),
        ("--steps-per-epoch", positive_integer, "batches an epoch, at most"),
    ):
        run.add_argument(name, type=kind, help=text)
    if exports:
        run.add_argument(
            "--export-dir", help="also export a SavedModel below this folder"
        )
    run.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir with its flags, or start it there",
    )
    return parser


def add_layer(group):
    """Adds `--layer`, which of the paper's two kinds of nets to train.

    Args:
        group: Parser or argument group.
    """
    group.add_argument(
        "--layer",
        choices=("coordconv", "conv"),
        default="coordconv",
        help="which net to train (default: %(default)s)",
    )


def add_task(parser, splits):
    """Adds `--layer` and `--split`, and returns the group of data and model.

    Args:
        parser: From `build_parser`.
        splits: Tuple of strings, the splits of the data set.
    """
    group = parser.add_argument_group("data and model")
    add_layer(group)
    group.add_argument(
        "--split",
        choices=splits,
        default="quadrant",
        help="which centers are the test set (default: %(default)s)",
    )
    return group


def add_length(
    group,
    batch_size="examples a step",
    learning_rate="learning rate at the start, of half a cosine",
):
    """Adds `--epochs`, `--batch-size` and `--learning-rate`.

    Args:
        group: Argument group. Recipes have the defaults.
        batch_size, learning_rate: Strings, the help of these two.
    """
    for name, kind, text in (
        ("--epochs", positive_integer, "length of the training"),
        ("--batch-size", positive_integer, batch_size),
        ("--learning-rate", not_negative_number, learning_rate),
    ):
        group.add_argument(name, type=kind, help=text)


def add_training(
    parser,
    learning_rate="highest learning rate",
    schedule="cosine",
    drops="epochs 200, 400, 600 and 800, as in the paper",
):
    """Adds the settings of a training with warm-up, and returns their group.

    Args:
        parser: From `build_parser`.
        learning_rate: String, the help of `--learning-rate`.
        schedule: String, the default of `--schedule`.
        drops: String, after what the schedule `"steps"` lowers the rate.
    """
    group = parser.add_argument_group("training")
    add_length(group, "examples a step, on all devices together", learning_rate)
    for name, text in (
        ("--warmup-epochs", "epochs in which the rate rises from 0"),
        ("--l2", "weight of the penalty on the squared kernels"),
    ):
        group.add_argument(name, type=not_negative_number, help=text)
    group.add_argument(
        "--schedule",
        choices=("cosine", "steps"),
        default=schedule,
        help="half a cosine down to zero, or a tenth of the rate after "
        f"{drops} (default: %(default)s)",
    )
    return group


def add_generator(parser):
    """Adds the settings of models that make images, and returns their groups.

    Args:
        parser: From `build_parser`.

    Returns:
        Pair of argument groups, of data and model and of training.
    """
    model = parser.add_argument_group("data and model")
    model.add_argument(
        "--preset",
        choices=("small", "paper"),
        default="small",
        help="narrow nets for a CPU, or the paper's (default: %(default)s)",
    )
    add_layer(model)
    for name, kind, text in (
        ("--latent-size", positive_integer, "numbers for an image"),
        ("--width", not_negative_number, "factor on the filters"),
    ):
        model.add_argument(name, type=kind, help=text)
    training = parser.add_argument_group("training")
    add_length(training, "images a step", "rate of Adam")
    return model, training


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


def command(main):
    """Decorator for `main`: a user's error is one line and exit status 2.

    A user's error is one of files and folders, or one that the project's own
    code raises; others come with their traceback. Ctrl-C is one line and exit
    status 130; SIGTERM is, too, with 143.

    Args:
        main: Function of a list of flags, or of `None`.
    """

    def is_ours(error):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        name = frame.f_globals["__name__"]
        return frame.f_globals is main.__globals__ or name.startswith(
            "keras_coordconv."
        )

    @functools.wraps(main)
    def run(argv=None):
        try:
            with _signals.clean_exit():
                return main(argv)
        except OSError as error:
            message = error
            if error.filename is not None:
                message = (
                    "Files and folders must be there and be writable. "
                    f"Received: {error.filename} ({error.strerror}). "
                    f"{_signals.advice()}"
                ).rstrip()
        except (ImportError, RuntimeError, ValueError) as error:
            # What to install is said in one place, examples/startup.py.
            if isinstance(error, ModuleNotFoundError) or not is_ours(error):
                raise
            message = error
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)

    return run


def say_how_to_continue(command):
    """Sets the command that is printed on Ctrl-C and on file-system errors.

    Args:
        command: List of strings.
    """
    _signals.set_advice(f"To continue: {shlex.join(command)}")


def _number_type(kind, low, below=math.inf):
    """A flag's type: numbers from `low` up to, but without, `below`."""

    def parse_number(text):
        value = kind(text)
        if not low <= value < below:
            limit = "" if below == math.inf else f" and less than {below}"
            raise argparse.ArgumentTypeError(
                f"must be at least {low}{limit}, received {text}"
            )
        return value

    return parse_number


positive_integer = _number_type(int, 1)
not_negative_number = _number_type(float, 0)
fraction = _number_type(float, 0, below=1)
seed = _number_type(int, 0, below=2**32)


def dtype_policy(text):
    """A flag's type: the name of a Keras dtype policy."""
    try:
        return keras.dtype_policies.get(text).name
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(
            "must be a Keras dtype policy, as float32 or mixed_bfloat16, "
            f"received {text}"
        ) from None


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
    begun_with = history.read_flags(folder)
    unknown = sorted(begun_with.keys() - vars(parser.parse_args([])).keys())
    if unknown:
        raise ValueError(
            "A run is resumed by the script that began it. Received: "
            f"--workdir {folder}, with other flags: {', '.join(unknown)}."
        )
    for name, value in history.training_flags(given).items():
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
