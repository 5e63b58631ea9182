"""Why the CoordConv network of the paper's first task extrapolates."""

import numpy as np
from matplotlib.figure import Figure

COLORS = {"mixed": "tab:red", "normalized": "tab:orange", "pixels": "tab:blue"}
LABELS = {
    "mixed": "x, y in pixels, coordinates in [-1, 1]",
    "normalized": "all in [-1, 1]",
    "pixels": "all in pixels",
}


def plot_units(runs):
    """Plots held-out accuracy by units and scale, and first-layer weights.

    Args:
        runs: List of dictionaries, each a run of coordinate classification:
            `units`, `scale` of the first layer's initial kernel, `accuracy` on
            the test set, and `weights`, an array of shape `(filters, 2)` in
            [-1, 1], the weights of each filter of the trained first layer on x
            and on the column.

    Returns:
        A `matplotlib.figure.Figure`: the accuracy of each run over the scale,
        with a line through the medians; and for each choice of units, the
        weights of all filters on the column over their weights on x.
    """
    units = [name for name in COLORS if any(r["units"] == name for r in runs)]
    figure = Figure(figsize=(4.6 + 2.9 * len(units), 4.2), layout="constrained")
    accuracy, *learned = figure.subplots(
        1, 1 + len(units), width_ratios=[1.6] + [1] * len(units)
    )
    for index, name in enumerate(units):
        of_units = [run for run in runs if run["units"] == name]
        scales = sorted({run["scale"] for run in of_units})
        medians = [
            np.median([r["accuracy"] for r in of_units if r["scale"] == scale])
            for scale in scales
        ]
        color = COLORS[name]
        accuracy.plot(scales, medians, color=color, label=LABELS[name])
        accuracy.scatter(
            # Shifted, so that equal accuracies do not hide each other.
            [r["scale"] * 1.06 ** (index - 1) for r in of_units],
            [r["accuracy"] for r in of_units],
            color=color,
            alpha=0.6,
            s=14,
            linewidths=0,
        )
        learned[index].scatter(
            *np.concatenate([run["weights"] for run in of_units]).T,
            color=color,
            alpha=0.25,
            s=14,
            linewidths=0,
        )
        learned[index].plot((-1, 1), (1, -1), color="black", linewidth=0.8)
        learned[index].set(
            title=LABELS[name].replace(", coord", ",\ncoord"),
            xlim=(-1.1, 1.1),
            ylim=(-1.1, 1.1),
            xticks=(-1, 0, 1),
            yticks=(-1, 0, 1),
            xlabel="weight on x",
            aspect="equal",
        )
    learned[0].set_ylabel("weight on the column")
    accuracy.set(
        xscale="log",
        ylim=(-0.05, 1.05),
        title="Held-out quadrant",
        xlabel="scale of the first layer's initial weights (He: 1)",
        ylabel="test accuracy",
    )
    accuracy.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False
    )
    return figure
