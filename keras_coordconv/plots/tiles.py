"""Classes of pixels on a canvas that is read as a whole or in tiles."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

COLORS = ("black", "tab:orange", "tab:blue")


def plot_classes(maps, classes):
    """Maps of classes side by side.

    Args:
        maps: Dictionary from a title to an integer array `(height, width)`.
        classes: Sequence of strings, the names of the classes.

    Returns:
        A `matplotlib.figure.Figure` with one panel a map.
    """
    figure = Figure(figsize=(3.2 * len(maps), 3.8), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    for axis, (title, labels) in zip(panels, maps.items(), strict=True):
        axis.imshow(
            labels,
            cmap=ListedColormap(COLORS[: len(classes)]),
            vmin=-0.5,
            vmax=len(classes) - 0.5,
            interpolation="nearest",
        )
        axis.set(title=title, xlabel="x [pixel]", ylabel="y [pixel]")
    figure.legend(
        handles=[
            Patch(color=color, label=name)
            for color, name in zip(COLORS, classes, strict=True)
        ],
        loc="outside lower center",
        ncols=len(classes),
        frameon=False,
    )
    return figure
