"""Reproduce: all runs behind the published numbers, in one queue.

    python examples/reproduce.py --list

lists the runs in their order, the most informative per minute first: which are
done, which are left, and about how long they take on one core.

    python examples/reproduce.py

runs them one after another, each in its own folder in `--workdir`. To continue
an interrupted queue, start it again: finished runs are kept, the interrupted
one is resumed. `object_detection` reads MNIST from the default folder of
TensorFlow Datasets, or from the folder in the environment variable
TFDS_DATA_DIR; `climate` needs `pip install '.[earth]'`.

    python examples/reproduce.py --collect examples/results

copies the metrics and the history of each finished run to that folder. With
`--part NAME`, only the parts of the queue whose names start with NAME are used.
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
        name: String, with settings in braces: the path of a run in
            `--workdir`, and of its metrics in the folder of results. It starts
            with the name of the script and a slash.
        settings: Dictionary from the name of a flag, without dashes, to a list
            of values.
        minutes: Float, approximate time of a run on one core.
        seeds: Tuple of integers.
    """

    name: str
    settings: dict
    minutes: float
    seeds: tuple = SEEDS

    def points(self, workdir):
        """Returns the arguments of `sweeps.run_point`, one tuple per run."""
        script = pathlib.Path(__file__).with_name(
            f"{self.name.partition('/')[0]}.py"
        )
        return [
            (script, pathlib.Path(workdir, self.name.format(**point)), point)
            for point in sweeps.combinations(self.settings, self.seeds)
        ]


# Position codes whose result is open, and those that succeed or fail by
# construction. Zero padding is separate, as it takes much longer.
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


# Trained side by side, on the same landscapes.
NETWORKS = (
    *("none", "world", "latitude", "periodic", "fourier", "tensor", "wide"),
)
COORDCONV = {"layer": ["coordconv"], "split": ["uniform", "quadrant"]}
QUEUE = [
    Part(
        "climate/search/rate{learning-rate}_epochs{epochs}_seed{seed}",
        {
            "coordinates": [NETWORKS],
            "split": ["validation"],
            "learning-rate": [0.003, 0.01, 0.03],
            "epochs": [10, 20],
        },
        minutes=3,
        seeds=(100,),
    ),
    Part(
        "climate/{split}_seed{seed}",
        {
            "coordinates": [NETWORKS],
            "split": ["blocks", "continent"],
        },
        minutes=4,
    ),
    Part(
        "key_points/search/rate{learning-rate}_seed{seed}",
        {"held-out": ["validation"], "learning-rate": [0.001, 0.003, 0.01]},
        minutes=1.5,
        seeds=(100,),
    ),
    Part("key_points/quadrant_seed{seed}", {}, minutes=1.5),
    # The search chose another rate for this network.
    Part(
        "key_points/{heads}_seed{seed}",
        {"heads": ["coordconv"], "learning-rate": [0.01]},
        minutes=0.5,
    ),
    Part(
        "coordinate_regression/{layer}_{split}_seed{seed}",
        COORDCONV,
        minutes=0.3,
        seeds=tuple(range(10)),
    ),
    Part(
        "coordinate_classification/{layer}_{split}_seed{seed}",
        COORDCONV,
        minutes=0.7,
        seeds=tuple(range(20)),
    ),
    Part("rendering/{layer}_{split}_seed{seed}", COORDCONV, minutes=1.5),
    Part(
        "rendering/{layer}_3x3_{split}_seed{seed}",
        {**COORDCONV, "filter-size": [3]},
        minutes=2,
    ),
    Part(
        "instances/{frame}_seed{seed}",
        {"frame": ["center", "image"]},
        minutes=0.7,
        seeds=(0, 1, 2),
    ),
    Part(
        "coordinate_classification/{layer}_{split}_seed{seed}",
        {"layer": ["conv"], "split": ["quadrant"]},
        minutes=3,
        seeds=(0, 1, 2),
    ),
    Part(
        "rendering/{layer}_{split}_seed{seed}",
        {"layer": ["conv"], "split": ["quadrant"]},
        minutes=3,
        seeds=(0, 1, 2),
    ),
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
            "layer": ["conv"],
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
        metavar="NAME",
        help="use only the parts whose names start with this (default: all)",
    )
    parser.add_argument(
        "--workdir",
        default="runs/reproduce",
        help="folder that contains the runs' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--list", action="store_true", help="only print the queue"
    )
    parser.add_argument(
        "--collect",
        metavar="FOLDER",
        help="only copy the metrics of finished runs to this folder",
    )
    return parser


def print_queue(parts, workdir):
    """Prints each run and the remaining time."""
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
    """Copies the metrics and the history of finished runs.

    Args:
        points: List of points, from `Part.points`.
        workdir: String, folder of the runs.
        output: String, folder to write to: for each run a JSON file of its
            metrics and `settings`, and a CSV file of its history.
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
        raise ValueError(f"No part of the queue starts with {args.part!r}.")
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
