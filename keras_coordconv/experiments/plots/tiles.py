"""Maps of the class or the object of each pixel, in colors."""

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

COLORS = (
    *("black", "tab:orange", "tab:blue", "tab:green", "tab:red", "tab:purple"),
    *("tab:brown", "tab:pink", "tab:olive", "tab:cyan"),
)


def plot_classes(maps, classes, grids=None):
    """Draws maps of classes side by side.

    Args:
        maps: Dictionary from a title to an integer array `(height, width)`.
        classes: Sequence of strings, the names of at most 10 classes.
        grids: Optional dictionary from a title to the size of the tiles in
            pixels, whose borders are drawn.

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
        if title in (grids or {}):
            for draw, length in zip(
                (axis.axhline, axis.axvline), labels.shape, strict=True
            ):
                for border in range(grids[title], length, grids[title]):
                    draw(border - 0.5, color="white", linewidth=0.5)
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
