"""Command-line flags that the scripts share."""

import argparse
import math

import keras

# Flags that do not affect the training. They may change on `--resume`.
FREE_FLAGS = (
    "resume",
    "workdir",
    "export_dir",
    "tensorboard",
    "data_dir",
    "devices",
)


def training_flags(flags):
    """Returns the flags that affect the training: all but `FREE_FLAGS`."""
    return {
        name: value for name, value in flags.items() if name not in FREE_FLAGS
    }


class Parser(argparse.ArgumentParser):
    """Parser that keeps its description's lines and prints one-line errors."""

    def __init__(self, description):
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message):
        self.exit(2, f"error: {message}\n")


def build_parser(description, exports=True):
    """Builds a parser with the flags of every training script.

    Args:
        description: String, the script's docstring.
        exports: Boolean, whether the script can export its model.

    Returns:
        `Parser`, to which the script adds its own flags.
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
        help="Keras dtype policy, such as mixed_bfloat16 "
        "(default: %(default)s)",
    )
    for name, kind, text in (
        ("--workdir", str, "folder of the run (default: a new one in runs/)"),
        ("--tensorboard", str, "folder for TensorBoard logs"),
        (
            "--limit-examples",
            positive_integer,
            "maximum number of examples of each set",
        ),
        (
            "--steps-per-epoch",
            positive_integer,
            "maximum number of batches per epoch",
        ),
    ):
        run.add_argument(name, type=kind, help=text)
    if exports:
        run.add_argument(
            "--export-dir", help="also export a SavedModel to this folder"
        )
    run.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir with its flags, or start it there",
    )
    return parser


def add_layer(group):
    """Adds `--layer`, which selects CoordConv or plain convolutions.

    Args:
        group: Parser or argument group.
    """
    group.add_argument(
        "--layer",
        choices=("coordconv", "conv"),
        default="coordconv",
        help="network to train (default: %(default)s)",
    )


def add_task(parser, splits):
    """Adds `--layer` and `--split`.

    Args:
        parser: `Parser`, from `build_parser`.
        splits: Tuple of strings, the splits of the data set.

    Returns:
        Argument group of data and model.
    """
    group = parser.add_argument_group("data and model")
    add_layer(group)
    group.add_argument(
        "--split",
        choices=splits,
        default="quadrant",
        help="centers that form the test set (default: %(default)s)",
    )
    return group


def add_length(
    group,
    batch_size="examples per step",
    learning_rate="initial learning rate, decayed to 0 as half a cosine",
):
    """Adds `--epochs`, `--batch-size` and `--learning-rate`.

    Args:
        group: Argument group. The recipes have the defaults.
        batch_size, learning_rate: Strings, help of the flag.
    """
    for name, kind, text in (
        ("--epochs", positive_integer, "number of epochs"),
        ("--batch-size", positive_integer, batch_size),
        ("--learning-rate", not_negative_number, learning_rate),
    ):
        group.add_argument(name, type=kind, help=text)


def add_training(
    parser,
    learning_rate="peak learning rate",
    schedule="cosine",
    drops="epochs 200, 400, 600 and 800, as in the paper",
):
    """Adds the settings of a training with warm-up.

    Args:
        parser: `Parser`, from `build_parser`.
        learning_rate: String, help of `--learning-rate`.
        schedule: String, default of `--schedule`.
        drops: String, when the schedule `"steps"` lowers the learning rate.

    Returns:
        Argument group of training.
    """
    group = parser.add_argument_group("training")
    add_length(
        group, "examples per step, on all devices together", learning_rate
    )
    for name, text in (
        (
            "--warmup-epochs",
            "epochs during which the learning rate rises linearly from 0",
        ),
        ("--l2", "weight of the L2 penalty on the kernels"),
    ):
        group.add_argument(name, type=not_negative_number, help=text)
    group.add_argument(
        "--schedule",
        choices=("cosine", "steps"),
        default=schedule,
        help="decay of the learning rate: half a cosine down to 0, or "
        f"division by 10 after {drops} (default: %(default)s)",
    )
    return group


def add_generator(parser):
    """Adds the settings of models that generate images.

    Args:
        parser: `Parser`, from `build_parser`.

    Returns:
        Pair of argument groups, of data and model, and of training.
    """
    model = parser.add_argument_group("data and model")
    model.add_argument(
        "--preset",
        choices=("small", "paper"),
        default="small",
        help="narrow networks for a CPU, or the paper's (default: %(default)s)",
    )
    add_layer(model)
    for name, kind, text in (
        ("--latent-size", positive_integer, "size of the latent vectors"),
        ("--width", not_negative_number, "factor on the number of filters"),
    ):
        model.add_argument(name, type=kind, help=text)
    training = parser.add_argument_group("training")
    add_length(training, "images per step", "learning rate of Adam")
    return model, training


def _number_type(kind, low, below=math.inf):
    """Returns a flag's type: numbers from `low`, inclusive, to `below`."""

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
    """Type of a flag: the name of a Keras dtype policy."""
    try:
        return keras.dtype_policies.get(text).name
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(
            "must be a Keras dtype policy, such as float32 or mixed_bfloat16, "
            f"received {text}"
        ) from None
