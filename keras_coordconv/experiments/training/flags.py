"""The flags of the command line that scripts share."""

import argparse
import math

import keras

# Flags that do not change the training: they may differ on `--resume`.
FREE_FLAGS = (
    "resume",
    "workdir",
    "export_dir",
    "tensorboard",
    "data_dir",
    "devices",
    "coordinator",
    "processes",
    "process_id",
)


def training_flags(flags):
    """The flags that change the training, without `FREE_FLAGS`."""
    return {
        name: value for name, value in flags.items() if name not in FREE_FLAGS
    }


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
