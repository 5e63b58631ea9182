"""What agents have earned while they learned."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from keras_coordconv.experiments.evaluation import game_scores

COLORS = {"coordconv": "tab:blue", "conv": "tab:red", "dense": "tab:gray"}
POINTS = 50


def plot_returns(runs):
    """Mean return of the last 100 games over the steps. Figure 8 of the paper.

    Args:
        runs: List of dictionaries, as from `training.results.read_run`, each
            with the flags `game` and `layer`, `steps` in its history, and a
            list of its `games`, dictionaries of `steps` and `return`. Runs of a
            game and a layer have different seeds.

    Returns:
        A `matplotlib.figure.Figure` with a panel a game: for each layer the
        mean over the runs, with the range, and the score of random play where
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
        axis.set(title=game, xlabel="steps of the agent", ylabel="mean return")
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 100k
        axis.legend(fontsize="small")
    return figure


def _plot_layer(axis, layer, runs):
    # Runs that go on are drawn as far as all of them are.
    last = min(run["history"][-1]["steps"] for run in runs)
    steps = np.linspace(0, last, POINTS + 1)[1:]
    # No game may be over after the first steps.
    returns = np.ma.masked_invalid(
        [_running_mean(run["games"], steps) for run in runs]
    )
    count = len(runs)
    color = COLORS[layer]
    axis.plot(
        steps,
        returns.mean(axis=0),
        color=color,
        label=f"{layer} ({count} run{'s' * (count > 1)})",
    )
    axis.fill_between(
        steps, returns.min(axis=0), returns.max(axis=0), color=color, alpha=0.2
    )


def _running_mean(games, steps):
    """Mean return of the last games that are over after each of the steps."""
    longest = game_scores.GAMES_IN_MEAN
    returns = np.array([game["return"] for game in games])
    counts = np.searchsorted([game["steps"] for game in games], steps, "right")
    return [
        returns[max(0, count - longest) : count].mean() if count else np.nan
        for count in counts
    ]


def plot_intervals(intervals, label):
    """Numbers with their intervals, one of each layer.

    Args:
        intervals: Dictionary from a layer to the number and the ends of its
            interval.
        label: String, what the numbers are.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(6, 1 + 0.5 * len(intervals)), layout="constrained")
    axis = figure.subplots()
    for layer, (number, low, high) in intervals.items():
        axis.plot([low, high], [layer, layer], color=COLORS[layer], linewidth=8)
        axis.plot([number], [layer], marker="|", color="black", markersize=16)
    axis.set(xlabel=label)
    axis.margins(y=0.4)
    return figure
