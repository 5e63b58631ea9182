"""Scores of runs: final scores, and scores over the training time."""

import collections

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullFormatter

from keras_coordconv.experiments.plots import style

# In every figure, the color stands for the layer and the split; line styles and
# markers stand for other settings.
COLORS = {
    ("coordconv", "quadrant"): style.BLUE,
    ("coordconv", "uniform"): style.SKY,
    ("conv", "quadrant"): style.VERMILION,
    ("conv", "uniform"): style.ORANGE,
}
STYLES = [
    {"marker": "o", "linestyle": "-"},
    {"marker": "s", "linestyle": "--"},
    {"marker": "^", "linestyle": ":"},
    {"marker": "D", "linestyle": "-."},
]


def plot_scores(runs, score):
    """Plots the test score over the train score and over the training time.

    Figures 4 and 6 of the paper.

    Args:
        runs: Dictionary from a label to a list of runs with the same settings
            and different seeds, from `training.results.read_run`.
        score: String, the metric: `"accuracy"`, `"distance"` or `"iou"`.

    Returns:
        A `matplotlib.figure.Figure` with two panels: the final scores of each
        run; and for each label the median and range over its runs of the test
        score after each epoch, over the median training time.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    final, over_time = figure.subplots(1, 2)
    unit = " [pixel]" if score == "distance" else ""
    drawn = collections.Counter()
    for label, of_label in runs.items():
        args = of_label[0]["args"]
        color = COLORS[args["layer"], args["split"]]
        style = STYLES[drawn[color] % len(STYLES)]
        drawn[color] += 1
        final.scatter(
            [run["metrics"][f"train_{score}"] for run in of_label],
            [run["metrics"][f"test_{score}"] for run in of_label],
            color=color,
            marker=style["marker"],
            alpha=0.7,
        )
        seconds, scores = (
            np.array(
                [[row[name] for row in run["history"]] for run in of_label]
            )
            for name in ("seconds", f"val_{score}")
        )
        time = np.median(seconds, axis=0)
        over_time.plot(
            time,
            np.median(scores, axis=0),
            color=color,
            linestyle=style["linestyle"],
            marker=style["marker"] if len(time) < 30 else None,
            markersize=4,
            label=f"{label} ({len(of_label)} run{'s' * (len(of_label) > 1)})",
        )
        over_time.fill_between(
            time, scores.min(axis=0), scores.max(axis=0), color=color, alpha=0.2
        )
    if score == "distance":
        scores = [
            run["metrics"][f"{subset}_{score}"]
            for of_label in runs.values()
            for run in of_label
            for subset in ("train", "test")
        ]
        limits = (min(scores) / 2, 2 * max(scores))
        final.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
        over_time.set_yscale("log")
    else:
        limits = (-0.05, 1.05)
        final.set(xlim=limits, ylim=limits)
        over_time.set_ylim(limits)
    final.plot(limits, limits, color="gray", linewidth=0.8, zorder=0)
    final.set(
        title="Final scores",
        xlabel=f"train {score}{unit}",
        ylabel=f"test {score}{unit}",
    )
    over_time.set(
        title="Median and range",
        xlabel="training time [s]",
        ylabel=f"test {score}{unit}",
    )
    times = [time for line in over_time.lines for time in line.get_xdata()]
    if max(times) > 10 * min(times):
        over_time.set_xscale("log")
        # Labels between the powers of ten would overlap.
        over_time.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        over_time.xaxis.set_major_formatter("{x:g}")
        over_time.xaxis.set_minor_formatter(NullFormatter())
    over_time.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def plot_epochs(runs, score):
    """Plots the test score of each run after each epoch, one panel per run.

    Args:
        runs: List of runs that differ in their seed, from
            `training.results.read_run`.
        score: String, the metric: `"accuracy"`, `"distance"` or `"iou"`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(9, 1.1 * len(runs) + 0.6), layout="constrained")
    panels = figure.subplots(
        len(runs), 1, sharex=True, sharey=True, squeeze=False
    )[:, 0]
    for axis, run in zip(panels, runs, strict=True):
        args = run["args"]
        axis.plot(
            [row["epoch"] for row in run["history"]],
            [row[f"val_{score}"] for row in run["history"]],
            color=COLORS[args["layer"], args["split"]],
            marker="o",
            markersize=3,
        )
        axis.set(ylabel=f"seed {args['seed']}")
    panels[-1].set(xlabel="epoch")
    figure.supylabel(f"test {score}")
    return figure
