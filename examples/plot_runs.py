"""Figures 4 and 6 of the CoordConv paper, from runs of the task scripts.

    python examples/plot_runs.py runs/rendering/*

draws the final test score of each run against its train score, and the test
score over the time of training: median and range of the runs that differ in
nothing but their seed. The runs must be of one task.
"""

import startup  # noqa: F401, before the rest

import os
import pathlib

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history

SCORES = ("accuracy", "distance", "iou")


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--output",
        help="the figure to write (default: scores.png in the folder that "
        "holds all the runs)",
    )
    return parser


def group_runs(runs):
    """Groups the runs that differ in nothing but their seed.

    Args:
        runs: List of dictionaries, as from `history.read_run`.

    Returns:
        Dictionary from a label to a list of runs. The label has the layer, the
        split and what else is needed to tell the groups apart.

    Example:

    >>> group_runs([conv_seed0, conv_seed1, conv_wide])
    {'conv, width 1': [conv_seed0, conv_seed1], 'conv, width 2': [conv_wide]}
    """
    flags = [history.training_flags(run["args"]) for run in runs]
    names = dict.fromkeys(["layer", "split", *(n for f in flags for n in f)])
    labels = [""] * len(runs)
    for name in names:
        if name == "seed":
            continue
        shown = "{}" if name in ("layer", "split") else f"{name} {{}}"
        longer = [
            ", ".join(filter(None, [label, shown.format(own[name])]))
            if name in own
            else label
            for label, own in zip(labels, flags, strict=True)
        ]
        if name in ("layer", "split") or len(set(longer)) > len(set(labels)):
            labels = longer
    groups = {}
    for label, run in zip(labels, runs, strict=True):
        groups.setdefault(label, []).append(run)
    return groups


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    runs = [history.read_run(folder) for folder in args.runs]
    scores = {
        score
        for run in runs
        for score in SCORES
        if f"test_{score}" in run["metrics"]
    }
    if len(scores) != 1:
        raise ValueError(
            "The runs must be of one task. "
            f"Received: runs with {', '.join(sorted(scores)) or 'no score'}."
        )
    figure = plots.plot_scores(group_runs(runs), scores.pop())
    parent = os.path.commonpath([pathlib.Path(f).absolute() for f in args.runs])
    output = args.output or os.path.relpath(os.path.join(parent, "scores.png"))
    _files.write_figure(output, figure)
    print(f"written: {output}")


if __name__ == "__main__":
    main()
