"""Sweep: one task of the paper over a grid of settings, one run per point.

    python examples/sweep.py coordinate_classification --grid quick

runs both layers on both splits with a short version of each training, and

    python examples/sweep.py rendering --grid paper

runs the paper's grid (days on a CPU). `all` stands for all tasks of the grid.
`coordinate_classification --grid units` tests why CoordConv extrapolates: due
to the units of (x, y) and the coordinates, or to the initial scale of the first
layer. `--grid search` searches for settings of the deconvolutional networks
(with `--seeds 100`, a seed that the results do not use).
`object_detection --grid detection` tests where a detector needs coordinates.

Each point is a run of the task's script in its own folder in `--workdir`, named
after its settings. To continue an interrupted sweep, start it again: points
with metrics.json are done, others are resumed. At the end, or immediately with
`--table`, it prints a table and writes it to table.csv.
"""

import startup  # noqa: F401, before the rest

import pathlib
import sys

from keras_coordconv import _files
from keras_coordconv import _signals
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import sweeps
from keras_coordconv.experiments.training.command import command

SUPERVISED = ("coordinate_classification", "coordinate_regression", "rendering")
TASKS = (*SUPERVISED, "object_detection")
SPLITS = {"split": ["uniform", "quadrant"]}
PAPER_RATE = {"schedule": ["steps"], "warmup-epochs": [0.0]}
DECONV = {
    "layer": ["conv"],
    **SPLITS,
    **PAPER_RATE,
    "learning-rate": [0.001, 0.002, 0.005, 0.01, 0.02, 0.05],
    "l2": [0.0, 0.001, 0.01],
    "filter-size": [2, 3, 4],
    "width": [1, 2, 3],
    "batch-size": [16, 32],
    "epochs": [1000],
}
# Settings in the printed table, in addition to all scores.
SHOWN = (
    *("layer", "split", "learning-rate", "l2", "filter-size", "width"),
    *("batch-size", "units", "first-layer-scale"),
    *("anchors", "coordinates", "seed"),
)
ANCHORS = {"anchors": ["grid", "scrambled"]}
ONE_EPOCH = {
    "epochs": [1],
    "learning-rate": [0.03],
    "dtype-policy": ["mixed_bfloat16"],
}
# The deconvolutional networks with about a tenth of the epochs: learning rates
# and penalties first, then one other setting at a time.
MIDDLE = {
    "layer": ["conv"],
    "split": ["uniform"],
    "learning-rate": [0.03],
    "l2": [0.0],
    "filter-size": [3],
    "width": [2],
    "batch-size": [32],
}
SEARCH = [
    {**MIDDLE, "learning-rate": [0.003, 0.01, 0.03], "l2": [0.0, 0.0001]},
    {**MIDDLE, "learning-rate": [0.1]},
    {**MIDDLE, "filter-size": [2, 4]},
    {**MIDDLE, "width": [1, 3]},
    {**MIDDLE, "batch-size": [16]},
]
# Each grid is a list of products of settings.
GRIDS = {
    "paper": {
        "coordinate_classification": [
            DECONV,
            {
                "layer": ["coordconv"],
                **SPLITS,
                **PAPER_RATE,
                "units": ["mixed"],
                "first-layer-scale": [1.0],
                "learning-rate": [0.001, 0.005, 0.01],
                "l2": [0.0, 0.001],
                "batch-size": [16],
                "epochs": [50],
            },
        ],
        "coordinate_regression": [
            {
                "layer": ["conv"],
                **SPLITS,
                **PAPER_RATE,
                "learning-rate": [0.0005, 0.001, 0.01],
                "l2": [1e-5, 1e-4, 5e-4],
                "batch-size": [256],
                "epochs": [100],
            },
            {
                "layer": ["coordconv"],
                **SPLITS,
                **PAPER_RATE,
                "input-scale": [1.0],
                "first-layer-scale": [1.0],
                "learning-rate": [0.01],
                "l2": [1e-5],
                "batch-size": [256],
                "epochs": [100],
            },
        ],
        "rendering": [
            DECONV,
            {
                "layer": ["coordconv"],
                **SPLITS,
                **PAPER_RATE,
                "units": ["mixed"],
                "first-layer-scale": [1.0],
                "center-scale": [1.0],
                "learning-rate": [0.001, 0.005],
                "l2": [0.0, 0.001],
                "width": [1, 2],
                "batch-size": [16],
                "epochs": [50],
            },
        ],
    },
    "quick": {
        "coordinate_classification": [
            {"layer": ["coordconv"], **SPLITS, "epochs": [2]},
            {"layer": ["conv"], **SPLITS, "epochs": [10]},
        ],
        "coordinate_regression": [
            {"layer": ["coordconv"], **SPLITS},
            {"layer": ["conv"], **SPLITS, "epochs": [5]},
        ],
        "rendering": [
            {"layer": ["coordconv"], **SPLITS, "epochs": [3]},
            {"layer": ["conv"], **SPLITS, "epochs": [10]},
        ],
    },
    "units": {
        "coordinate_classification": [
            {
                "layer": ["coordconv"],
                "split": ["quadrant"],
                "units": ["mixed", "normalized", "pixels"],
                "first-layer-scale": [0.003, 0.01, 0.1, 0.3, 1.0],
            }
        ],
    },
    "search": {
        "coordinate_classification": [
            {**product, "epochs": [10]} for product in SEARCH
        ],
        "rendering": [{**product, "epochs": [6]} for product in SEARCH],
    },
    # One epoch of the paper's detector (MNIST must be in the default folder of
    # TensorFlow Datasets): both layers with both anchor layouts, and
    # coordinates at only one layer.
    "detection": {
        "object_detection": [
            {"layer": ["conv", "coordconv"], **ANCHORS, **ONE_EPOCH},
            {
                "layer": ["coordconv"],
                "coordinates": ["image", "features", "boxes"],
                **ONE_EPOCH,
            },
        ],
    },
    # One epoch of each network, for tests.
    "test": {
        task: [{"layer": ["coordconv", "conv"], "epochs": [1]}]
        for task in SUPERVISED
    },
}


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument("task", choices=(*TASKS, "all"), help="task to sweep")
    parser.add_argument(
        "--grid",
        choices=GRIDS,
        default="quick",
        help="grid of settings (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=flags.seed,
        default=[0],
        help="seeds with which to run each point (default: 0)",
    )
    parser.add_argument(
        "--workdir",
        default="runs/sweep",
        help="folder that contains the points' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--limit-examples",
        type=flags.positive_integer,
        help="maximum number of examples of each set",
    )
    parser.add_argument(
        "--table", action="store_true", help="only print the table"
    )
    return parser


def grid_points(args):
    """Yields all points as pairs of a task and a dictionary of flags."""
    for task in TASKS if args.task == "all" else [args.task]:
        for product in GRIDS[args.grid].get(task, []):
            if args.limit_examples:
                product = {**product, "limit-examples": [args.limit_examples]}
            for settings in sweeps.combinations(product, args.seeds):
                yield task, settings


def point_folder(args, task, settings):
    name = "_".join(f"{key}={value}" for key, value in settings.items())
    return pathlib.Path(args.workdir) / task / name


def write_table(args, points):
    """Prints and writes the results of the finished points."""
    rows = []
    for task, settings in points:
        folder = point_folder(args, task, settings)
        if sweeps.is_done(folder):
            metrics = results.read_metrics(folder)
            rows.append({"task": task, **settings, **metrics})
    if not rows:
        print("no finished points")
        return rows
    table = pathlib.Path(args.workdir) / "table.csv"
    _files.write_table(table, rows)
    for row in rows:
        settings = " ".join(
            f"{name} {row[name]}" for name in SHOWN if name in row
        )
        scores = "  ".join(
            f"{name} {row[name]:.4g}"
            for name in row
            if name.endswith(("_accuracy", "_distance", "_iou", "_ap"))
            and name.startswith(("train", "test"))
        )
        print(
            f"{row['task']:26s} {settings:40s} {scores}  {row['seconds']:.0f} s"
        )
    print(f"written: {table}")
    return rows


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    points = list(grid_points(args))
    if not points:
        raise ValueError(
            f"--grid {args.grid} has no points for {args.task}, only for "
            f"{', '.join(GRIDS[args.grid])}."
        )
    failed = []
    if not args.table:
        with _signals.ContinuedBy("python", *sys.argv):
            failed = sweeps.run_points(
                [
                    (
                        pathlib.Path(__file__).with_name(f"{task}.py"),
                        point_folder(args, task, settings),
                        settings,
                    )
                    for task, settings in points
                ]
            )
    rows = write_table(args, points)
    sweeps.check_all_succeeded(failed)
    return rows


if __name__ == "__main__":
    main()
