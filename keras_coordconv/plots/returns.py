"""What agents have earned while they learned."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

COLORS = {"coordconv": "tab:blue", "conv": "tab:red", "dense": "tab:gray"}


def plot_returns(runs):
    """Mean return over the steps of the training. Figure 8 of the paper.

    Args:
        runs: List of dictionaries, as from `training.history.read_run`, each
            with the flags `game` and `layer`, and `steps` and `return` in its
            history. Runs of a game and a layer have different seeds and the
            same steps.

    Returns:
        A `matplotlib.figure.Figure` with a panel a game: for each layer the
        mean over the runs, with the range.
    """
    groups = {}
    for run in runs:
        layers = groups.setdefault(run["args"]["game"], {})
        layers.setdefault(run["args"]["layer"], []).append(run["history"])
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axis in panels[len(groups) :]:
        axis.set_axis_off()
    for axis, (game, layers) in zip(panels, groups.items(), strict=False):
        for layer, histories in sorted(layers.items(), reverse=True):
            _plot_layer(axis, layer, histories)
        axis.set(title=game, xlabel="steps of the agent", ylabel="mean return")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))  # 100k
        axis.legend()
    return figure


def _plot_layer(axis, layer, histories):
    # Runs that go on are drawn as far as all of them are.
    epochs = min(map(len, histories))
    steps = [row["steps"] for row in histories[0][:epochs]]
    # No game may be over after the first epochs.
    returns = np.ma.masked_invalid(
        [
            [row.get("return", np.nan) for row in history[:epochs]]
            for history in histories
        ]
    )
    count = len(histories)
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
