"""Maps of the class or the object of each pixel, in colors."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

COLORS = (
    *("black", "tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple"),
    *("tab:brown", "tab:pink", "tab:olive", "tab:cyan"),
)


def plot_classes(maps, classes):
    """Draws maps of classes side by side.

    Args:
        maps: Dictionary from a title to an integer array `(height, width)`.
        classes: Sequence of strings, the names of at most 10 classes.

    Returns:
        A `matplotlib.figure.Figure` with one panel per map.
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
            for color, name in zip(COLORS, classes, strict=False)
        ],
        loc="outside lower center",
        ncols=min(len(classes), 5),
        frameon=False,
    )
    return figure
