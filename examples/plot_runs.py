"""Figures 4 and 6 of the CoordConv paper, from runs of the task scripts.

    python examples/plot_runs.py runs/rendering/*

draws the final test score of each run against its train score, and the test
score over the time of training: median and range of the runs that differ in
nothing but their seed. The runs must be of one task.
"""

import os
import pathlib

from keras_coordconv import files
from keras_coordconv import plots
from keras_coordconv.training import arguments
from keras_coordconv.training import history

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
    figure = plots.plot_scores(history.group_runs(runs), scores.pop())
    parent = os.path.commonpath([pathlib.Path(f).absolute() for f in args.runs])
    output = args.output or os.path.relpath(os.path.join(parent, "scores.png"))
    files.write_figure(output, figure)
    print(f"written: {output}")


if __name__ == "__main__":
    main()
