"""Maps of the Earth with the climate of each pixel."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from keras_coordconv.experiments.plots import style

# Tropical, arid, temperate, continental, polar.
COLORS = (style.BLUE, style.VERMILION, style.YELLOW, style.GREEN, "#8fd3f4")
OCEAN, COAST = "white", "#555555"
# How much of its color a training pixel keeps.
FADED = 0.25


def paint(climate, true_climate, is_test):
    """Paints each pixel in the color of its climate.

    Args:
        climate: Integer array of shape `(180, 360)`, the classes to paint.
        true_climate, is_test: As `climate` and `is_test` of `plot_globe`.

    Returns:
        Float array of shape `(180, 360, 3)` in [0, 1].
    """
    palette = np.array([to_rgb(color) for color in COLORS])
    strength = np.where(is_test, 1.0, FADED)[..., None]
    colors = 1 - strength * (1 - palette[climate])
    colors[true_climate < 0] = to_rgb(OCEAN)
    return colors


def plot_globe(maps, climate, is_test, classes):
    """Draws the climate on maps of the Earth, faded where it was trained on.

    Args:
        maps: Dictionary from a title to an integer array of shape `(180, 360)`,
            the class of each pixel. The legend is beside the first map.
        climate: Integer array of that shape, the true classes, negative in the
            ocean.
        is_test: Boolean array of that shape, the pixels that are held out.
        classes: Sequence of strings, the names of the classes.

    Returns:
        A `matplotlib.figure.Figure` with one panel per map.
    """
    rows = len(maps) // 2 + 1
    figure = Figure(figsize=(10, 2.5 * rows), layout="constrained")
    first, key, *others = figure.subplots(rows, 2, squeeze=False).ravel()
    axes = [first, *others]
    is_land = climate >= 0
    longitude = np.arange(-180, 180) + 0.5
    latitude = 90 - (np.arange(180) + 0.5)
    for axis, (title, found) in zip(axes, maps.items(), strict=False):
        axis.imshow(
            paint(found, climate, is_test),
            extent=(-180, 180, -90, 90),
            interpolation="nearest",
        )
        for line, color, width in (
            (is_land, COAST, 0.4),
            (is_test & is_land, "black", 0.8),
        ):
            axis.contour(
                *(longitude, latitude, line),
                levels=[0.5],
                colors=color,
                linewidths=width,
            )
        axis.set(title=title, xticks=[], yticks=[], ylim=(-57, 84))
    for axis in (key, *axes[len(maps) :]):
        axis.axis("off")
    key.legend(
        handles=[
            *(
                Patch(color=color, label=name)
                for color, name in zip(COLORS, classes, strict=True)
            ),
            Patch(facecolor="white", edgecolor="black", label="held out"),
            Patch(color="#dddddd", label="pale: trained on"),
        ],
        loc="center",
        ncols=2,
        frameon=False,
        fontsize="large",
    )
    return figure
