"""Reproduce: every run behind the published numbers, in one queue.

    python examples/reproduce.py --list

shows the runs in their order, the most telling per minute first: what is done,
what is left, and about how long it takes on one core.

    python examples/reproduce.py

does them, one after another. Each is a run of its script in a folder of its own
below `--workdir`. A queue that was interrupted continues when it is started
again: finished runs are kept, the one that was running is resumed.
`object_detection` reads MNIST from TensorFlow Datasets' default folder, or from
that in the environment variable TFDS_DATA_DIR.

    python examples/reproduce.py --collect examples/results

copies the numbers and the history of each finished run to that folder. `--part`
takes the parts of the queue whose names begin like this.
"""

import startup  # noqa: F401, before the rest

import pathlib
import sys
import typing

from keras_coordconv import _files
from keras_coordconv import _signals
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import sweeps
from keras_coordconv.experiments.training.command import command

SEEDS = (0, 1, 2, 3, 4)


class Part(typing.NamedTuple):
    """Runs of one script, one for each combination of settings and seeds.

    Args:
        name: String, with settings in braces: the run's folder below
            `--workdir`, and its numbers' place below the folder of results.
            It begins with the name of the script and a slash.
        settings: Dictionary from a flag, without dashes, to its values.
        minutes: Float, about how long a run takes on one core.
        seeds: Tuple of integers.
    """

    name: str
    settings: dict
    minutes: float
    seeds: tuple = SEEDS

    def points(self, workdir):
        """Arguments of `sweeps.run_point`, a tuple for each run."""
        script = pathlib.Path(__file__).with_name(
            f"{self.name.partition('/')[0]}.py"
        )
        return [
            (script, pathlib.Path(workdir, self.name.format(**point)), point)
            for point in sweeps.combinations(self.settings, self.seeds)
        ]


# Codes of position: those of which the result is open; those that have it by
# construction, or cannot have it; and zero padding, which takes much longer.
CODES = ["axis", "fourier", "pixel", "coordinates"]
CONTROLS = ["relative", "unshared", "none"]
BFLOAT16 = {"dtype-policy": ["mixed_bfloat16"]}


def position_codes(codes, minutes, seeds):
    return Part(
        "position_codes/{code}_{split}_seed{seed}",
        {**BFLOAT16, "code": codes, "split": list(not_so_clevr.SPLITS)},
        minutes,
        seeds,
    )


QUEUE = [
    Part(
        "position_codes/search/{code}_{split}_rate{learning-rate}"
        "_scale{first-layer-scale}_seed{seed}",
        {
            **BFLOAT16,
            "held-out": ["validation"],
            "epochs": [2],
            "code": [*CODES, "relative", "unshared"],
            "split": ["quadrant", "band"],
            "learning-rate": [0.003, 0.01],
            "first-layer-scale": [0.1, 1.0],
        },
        minutes=0.4,
        seeds=(100,),
    ),
    position_codes(CODES, minutes=0.4, seeds=(0,)),
    position_codes(CONTROLS, minutes=0.5, seeds=(0,)),
    position_codes(["padding"], minutes=1, seeds=(0,)),
    position_codes(CODES, minutes=0.4, seeds=(1, 2)),
    Part(
        "coordinate_regression/{layer}_{split}_seed{seed}",
        {"layer": ["conv"], "split": ["quadrant"]},
        minutes=1.5,
    ),
    Part(
        "coordinate_regression/soft_argmax_{layer}_{split}_seed{seed}",
        {
            "head": ["soft_argmax"],
            "layer": ["coordconv", "conv"],
            "split": ["quadrant"],
        },
        minutes=0.5,
    ),
    position_codes(CODES, minutes=0.4, seeds=(3, 4)),
    Part(
        "position_probes/{probe}_{split}_seed{seed}",
        {"probe": ["strides"], "split": ["uniform", "quadrant"]},
        minutes=4,
        seeds=(0, 1, 2),
    ),
    # The authors' setting.
    Part(
        "object_detection/authors_{layer}_{anchors}_seed{seed}",
        {
            "images": ["binary"],
            "batch-size": [1],
            "learning-rate": [0.001],
            "epochs": [5],
            "layer": ["conv", "coordconv"],
            "anchors": ["scrambled", "grid"],
        },
        minutes=12,
    ),
    position_codes(CONTROLS, minutes=0.5, seeds=(1, 2, 3, 4)),
    position_codes(["padding"], minutes=1, seeds=(1, 2, 3, 4)),
]


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--part",
        default="",
        help="take only the parts whose names begin like this (default: all)",
    )
    parser.add_argument(
        "--workdir",
        default="runs/reproduce",
        help="folder of the runs' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--list", action="store_true", help="run nothing, print the queue"
    )
    parser.add_argument(
        "--collect",
        metavar="FOLDER",
        help="run nothing, copy the numbers of finished runs to this folder",
    )
    return parser


def print_queue(parts, workdir):
    """Prints each run and the time that is left."""
    left = 0.0
    for part in parts:
        points = part.points(workdir)
        done = [sweeps.is_done(folder) for _, folder, _ in points]
        todo = part.minutes * done.count(False)
        left += todo
        print(
            f"{part.name}: {done.count(True)} of {len(done)} done, "
            f"{todo:.0f} min left"
        )
        for (_, folder, _), is_done in zip(points, done, strict=True):
            state = "started" if (folder / "args.json").exists() else "to do"
            name = folder.relative_to(workdir)
            print(f"  {'done' if is_done else state}  {name}")
    print(f"about {left:.0f} min left on one core")


def collect(points, workdir, output):
    """Copies what finished runs have written, and small enough to be kept.

    Args:
        points: List of points, from `Part.points`.
        workdir: String, the folder of the runs.
        output: String, the folder to write to: for each run its numbers, with
            its flags as `settings`, and its history.
    """
    for _, folder, _ in points:
        if not sweeps.is_done(folder):
            continue
        run = results.read_run(folder)
        target = pathlib.Path(output, folder.relative_to(workdir))
        _files.write_json(
            target.with_name(f"{target.name}.json"),
            {
                **run["metrics"],
                "settings": flags.training_flags(run["args"]),
            },
        )
        _files.write_table(
            target.with_name(f"{target.name}_history.csv"), run["history"]
        )
        print(f"written: {target}.json")


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    parts = [part for part in QUEUE if part.name.startswith(args.part)]
    points = [point for part in parts for point in part.points(args.workdir)]
    if not points:
        raise ValueError(f"No part of the queue begins with {args.part!r}.")
    if args.list:
        print_queue(parts, args.workdir)
    elif args.collect:
        collect(points, args.workdir, args.collect)
    else:
        with _signals.ContinuedBy("python", *sys.argv):
            failed = sweeps.run_points(points)
        sweeps.check_all_succeeded(failed)


if __name__ == "__main__":
    main()
