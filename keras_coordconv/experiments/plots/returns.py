"""Training returns of agents, and their final scores."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from keras_coordconv.experiments.evaluation import game_scores
from keras_coordconv.experiments.plots import style

POINTS = 50


def plot_returns(runs):
    """Plots the mean return of the last 100 games over the steps.

    Figure 8 of the paper.

    Args:
        runs: List of dictionaries, from `training.results.read_run`, each with
            the flags `game` and `layer`, the `steps` in its history, and a list
            of its `games`, dictionaries of `steps` and `return`. Runs of the
            same game and layer have different seeds.

    Returns:
        A `matplotlib.figure.Figure` with one panel per game: for each layer the
        mean over the runs, with their range; and the score of random play, if
        it is known.
    """
    groups = {}
    for run in runs:
        layers = groups.setdefault(run["args"]["game"], {})
        layers.setdefault(run["args"]["layer"], []).append(run)
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axis in panels[len(groups) :]:
        axis.set_axis_off()
    for axis, (game, layers) in zip(panels, groups.items(), strict=False):
        for layer, group in sorted(layers.items(), reverse=True):
            _plot_layer(axis, layer, group)
        if game in game_scores.RANDOM_AND_HUMAN:
            random, _ = game_scores.RANDOM_AND_HUMAN[game]
            axis.axhline(random, color="gray", linestyle=":", label="random")
        axis.set(title=game, xlabel="agent steps", ylabel="mean return")
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 100k
        axis.legend(fontsize="small")
    return figure


def _plot_layer(axis, layer, runs):
    # Runs of different lengths are drawn up to the end of the shortest.
    last = min(run["history"][-1]["steps"] for run in runs)
    steps = np.linspace(0, last, POINTS + 1)[1:]
    # After the first steps, there may be no finished game.
    returns = np.ma.masked_invalid(
        [_running_mean(run["games"], steps) for run in runs]
    )
    count = len(runs)
    color = style.OF_LAYER[layer]
    axis.plot(
        steps,
        returns.mean(axis=0),
        color=color,
        label=f"{style.name_of(layer)} ({count} run{'s' * (count > 1)})",
    )
    axis.fill_between(
        steps, returns.min(axis=0), returns.max(axis=0), color=color, alpha=0.2
    )


def _running_mean(games, steps):
    """Returns the mean return of the last finished games at each step."""
    longest = game_scores.GAMES_IN_MEAN
    returns = np.array([game["return"] for game in games])
    counts = np.searchsorted([game["steps"] for game in games], steps, "right")
    return [
        returns[max(0, count - longest) : count].mean() if count else np.nan
        for count in counts
    ]


def plot_intervals(intervals, label):
    """Plots one number per layer, with its interval.

    Args:
        intervals: Dictionary from a layer to a tuple of the number and the ends
            of its interval.
        label: String, label of the numbers.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(6, 1 + 0.5 * len(intervals)), layout="constrained")
    axis = figure.subplots()
    for layer, (number, low, high) in intervals.items():
        name, color = style.name_of(layer), style.OF_LAYER[layer]
        axis.plot([low, high], [name, name], color=color, linewidth=8)
        axis.plot([number], [name], marker="|", color="black", markersize=16)
    axis.set(xlabel=label)
    axis.margins(y=0.4)
    return figure
