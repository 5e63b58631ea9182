"""Figures 4 and 6 of the CoordConv paper, from runs of the task scripts.

    python examples/plot_runs.py runs/rendering/* --output rendering.png

draws the final test score of each run against its train score, and the test
score over the time of training: median and range of the runs that differ in
their seed only. The runs must be of one task.
"""

import argparse
import pathlib

from keras_coordconv import plots
from keras_coordconv.training import arguments
from keras_coordconv.training.run_folder import read_run

SCORES = ("accuracy", "distance", "iou")


def build_parser():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--output",
        default="scores.png",
        help="the figure to write (default: %(default)s)",
    )
    parser.add_argument(
        "--label-by",
        nargs="+",
        default=["layer", "split"],
        help="flags that tell the runs apart (default: layer split)",
    )
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    by_label = {}
    try:
        for folder in args.runs:
            run = read_run(folder)
            names = [name.replace("-", "_") for name in args.label_by]
            values = [str(run["args"][name]) for name in names]
            by_label.setdefault(", ".join(values), []).append(run)
    except (ValueError, KeyError) as error:
        arguments.exit_with_error(error)
    scores = {
        score
        for runs in by_label.values()
        for run in runs
        for score in SCORES
        if f"test_{score}" in run["metrics"]
    }
    if len(scores) != 1:
        arguments.exit_with_error(
            f"The runs must be of one task. Received: runs with {scores}."
        )
    figure = plots.plot_scores(by_label, scores.pop())
    output = pathlib.Path(args.output)
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        arguments.exit_with_error(
            f"--output must be a writable file. Received: {output} "
            f"({error.strerror})."
        )
    print(f"written: {output}")


if __name__ == "__main__":
    main()
