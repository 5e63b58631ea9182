"""Chart of the layers' benchmark."""

import numpy as np
from matplotlib.figure import Figure

from keras_coordconv.experiments.plots import style


def plot_benchmark(rows):
    """Plots the time of each layer relative to the plain convolution.

    Args:
        rows: List of dictionaries with `mode`, `shape`, `model` and `ratio`,
            from `examples/benchmark_layers.py`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per mode: for each layer,
        one dot per shape, and their geometric mean.
    """
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    layers = list(
        dict.fromkeys(row["model"] for row in rows if row["model"] != "conv")
    )
    figure = Figure(
        figsize=(3 + 3.6 * len(modes), 1.2 + 0.5 * len(layers)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(modes), squeeze=False, sharey=True)[0]
    for axis, mode in zip(panels, modes, strict=True):
        for position, layer in enumerate(layers):
            ratios = [
                row["ratio"]
                for row in rows
                if (row["mode"], row["model"]) == (mode, layer)
            ]
            if not ratios:
                continue
            color = style.OF_LAYER.get(layer, style.GRAY)
            axis.plot(
                ratios,
                np.full(len(ratios), position),
                linestyle="none",
                marker="o",
                color=color,
                alpha=0.35,
            )
            mean = np.exp(np.mean(np.log(ratios)))
            axis.plot(mean, position, marker="|", color="black", markersize=18)
            axis.annotate(
                f"{mean:.2f}",
                (mean, position),
                xytext=(0, 11),
                textcoords="offset points",
                ha="center",
                size="small",
            )
        axis.axvline(1.0, color="black", linewidth=0.8)
        axis.set(
            title=mode,
            xlabel="time relative to Conv2D",
            ylim=(len(layers) - 0.5, -0.7),
            yticks=np.arange(len(layers)),
            yticklabels=[style.name_of(layer) for layer in layers],
        )
    return figure
