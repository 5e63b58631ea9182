"""Chart of the layers' benchmark."""

import numpy as np
from matplotlib.figure import Figure


def plot_benchmark(rows):
    """Plots the time of each layer relative to the plain convolution.

    Args:
        rows: List of dictionaries with `mode`, `shape`, `model` and `ratio`,
            from `examples/benchmark_layers.py`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per mode.
    """
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    models = dict.fromkeys(
        row["model"] for row in rows if row["model"] != "conv"
    )
    colors = {name: f"C{index}" for index, name in enumerate(models)}
    figure = Figure(
        figsize=(1.8 + 4.6 * len(modes), 2.2 + 0.55 * len(shapes)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(modes), squeeze=False, sharey=True)[0]
    for axis, mode in zip(panels, modes, strict=True):
        ratios = {}
        for row in rows:
            if row["mode"] == mode and row["model"] != "conv":
                of_model = ratios.setdefault(row["model"], {})
                of_model[row["shape"]] = row["ratio"]
        height = 0.8 / len(ratios)
        for index, (name, by_shape) in enumerate(ratios.items()):
            values = list(by_shape.values())
            mean = np.exp(np.mean(np.log(values)))
            positions = np.array([shapes.index(shape) for shape in by_shape])
            axis.barh(
                positions - 0.4 + (index + 0.5) * height,
                values,
                height,
                color=colors[name],
                label=f"{name} (geometric mean {mean:.2f})",
            )
        axis.axvline(1.0, color="black", linewidth=1)
        axis.set(
            title=mode,
            xlabel="time relative to Conv2D",
            ylim=(len(shapes) - 0.5, -0.5),
            yticks=np.arange(len(shapes)),
            yticklabels=shapes,
        )
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False
        )
    return figure
