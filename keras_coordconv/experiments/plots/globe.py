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


def plot_globe(maps, climate, is_test, classes):
    """Draws the climate on maps of the Earth, faded where it was trained on.

    Args:
        maps: Dictionary from a title to an integer array of shape `(180, 360)`,
            the class of each pixel.
        climate: Integer array of that shape, the true classes, negative in the
            ocean.
        is_test: Boolean array of that shape, the pixels that are held out.
        classes: Sequence of strings, the names of the classes.

    Returns:
        A `matplotlib.figure.Figure` with one panel per map.
    """
    figure = Figure(figsize=(6.4, 3.1 * len(maps) + 0.5), layout="constrained")
    palette = np.array([to_rgb(color) for color in COLORS])
    is_land = climate >= 0
    strength = np.where(is_test, 1.0, FADED)[..., None]
    for axis, (title, found) in zip(
        figure.subplots(len(maps), squeeze=False)[:, 0],
        maps.items(),
        strict=True,
    ):
        colors = 1 - strength * (1 - palette[found])
        colors[~is_land] = to_rgb(OCEAN)
        axis.imshow(
            colors, extent=(-180, 180, -90, 90), interpolation="nearest"
        )
        longitude = np.arange(-180, 180) + 0.5
        latitude = 90 - (np.arange(180) + 0.5)
        axis.contour(
            *(longitude, latitude, is_land),
            levels=[0.5],
            colors=COAST,
            linewidths=0.4,
        )
        axis.contour(
            *(longitude, latitude, is_test),
            levels=[0.5],
            colors="black",
            linewidths=0.6,
        )
        axis.set(title=title, xticks=[], yticks=[], ylim=(-60, 85))
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
