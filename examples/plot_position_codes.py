"""What separates coordinates from the alternatives: figure and tables.

    python examples/reproduce.py --part position_codes
    python examples/plot_position_codes.py runs/reproduce/position_codes/*_seed?

draws which held-out positions the networks find, by the code of position and by
the split. It prints, as tables, the mean test accuracy with its 95 % interval
(Student's) and the difference to coordinates (Welch's), over the seeds.
"""

import startup  # noqa: F401, before the rest

import numpy as np

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.models import position_codes
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", help="folders of finished runs of position_codes.py"
    )
    parser.add_argument(
        "--output",
        default="position_codes.png",
        help="the figure to write (default: %(default)s)",
    )
    return parser


def read_run(folder):
    """A run as `plots.plot_position_codes` takes it."""
    run = history.read_run(folder)
    rows = history.read_table(f"{folder}/found.csv")
    centers = np.array([(row["x"], row["y"]) for row in rows])
    found = np.array([(row["found_x"], row["found_y"]) for row in rows])
    return {
        **{name: run["args"][name] for name in ("code", "split", "seed")},
        **run["metrics"],
        "centers": centers,
        "found": np.all(centers == found, axis=-1),
    }


def mean_interval(values):
    """Mean, and half the width of its 95 % interval (Student's)."""
    from scipy import stats

    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), stats.t.ppf(0.975, len(values) - 1) * error


def difference_interval(values, others):
    """Difference of the means, and half its 95 % interval (Welch's)."""
    from scipy import stats

    error, degrees = 0.0, 0.0
    for sample in (values, others):
        own = np.var(sample, ddof=1) / len(sample)
        error += own
        degrees += own**2 / (len(sample) - 1)
    difference = np.mean(values) - np.mean(others)
    if not error:
        return difference, 0.0
    width = stats.t.ppf(0.975, error**2 / degrees) * np.sqrt(error)
    return difference, width


def print_table(title, runs, cell):
    """Prints a row per code and a column per split.

    Args:
        title: String, what the cells are.
        runs: Dictionary from a code and a split to their runs.
        cell: Function of a code and a split to a string.
    """
    codes = [c for c in position_codes.CODES if any(c == k[0] for k in runs)]
    splits = [s for s in not_so_clevr.SPLITS if any(s == k[1] for k in runs)]
    print(f"\n| {title} | {' | '.join(splits)} |")
    print("|---" * (1 + len(splits)) + "|")
    for code in codes:
        cells = [
            cell(code, split) if (code, split) in runs else ""
            for split in splits
        ]
        print(f"| `{code}` | {' | '.join(cells)} |")


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    runs = [read_run(folder) for folder in args.runs]
    grouped = {}
    for run in runs:
        grouped.setdefault((run["code"], run["split"]), []).append(run)

    def scores(code, split, subset="test"):
        return [100 * run[f"{subset}_accuracy"] for run in grouped[code, split]]

    def test_cell(code, split):
        values = scores(code, split)
        text = f"{np.mean(values):.1f}"
        if len(values) > 1:
            text += f" ± {mean_interval(values)[1]:.1f}"
        return text if len(values) == 5 else f"{text} ({len(values)})"

    def difference_cell(code, split):
        values, others = scores(code, split), scores("coordinates", split)
        if min(len(values), len(others)) < 2:
            return ""
        difference, width = difference_interval(values, others)
        return f"{difference:+.1f} ± {width:.1f}"

    print_table("test accuracy, %", grouped, test_cell)
    print_table(
        "training accuracy, %",
        grouped,
        lambda *key: f"{np.mean(scores(*key, 'train')):.1f}",
    )
    print_table(
        "distance, pixels",
        grouped,
        lambda *key: (
            f"{np.mean([run['test_distance'] for run in grouped[key]]):.2f}"
        ),
    )
    if any(code == "coordinates" for code, _ in grouped):
        print_table("less coordinates", grouped, difference_cell)
    _files.write_figure(args.output, plots.plot_position_codes(runs))
    print(f"\nwritten: {args.output}")


if __name__ == "__main__":
    main()
