"""Key points: where networks find an object, and where it is."""

import numpy as np
from matplotlib.figure import Figure

from keras_coordconv.experiments.plots import style


def plot_key_points(image, true, found, size, count=100):
    """Draws true points, and a line from each to the point that was found.

    Args:
        image: Array of shape `(height, width)`, drawn as the background.
        true: Array of shape `(examples, 2)`, rows and columns in pixels.
        found: Dictionary from the name of a network to an array like `true`.
        size: Number, height and width of the image in pixels.
        count: Integer, the maximum number of examples to draw.

    Returns:
        A `matplotlib.figure.Figure` with one panel per title.
    """
    figure = Figure(figsize=(3.4 * len(found), 3.6), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    chosen = np.linspace(0, len(true) - 1, min(count, len(true))).astype(int)
    for axes, (title, points) in zip(panels, found.items(), strict=True):
        axes.imshow(
            image, cmap="gray", extent=(0, size, size, 0), alpha=0.4, vmax=1.5
        )
        distance = np.linalg.norm(points - true, axis=-1).mean()
        axes.set_title(f"{style.name_of(title)}: {distance:.1f} pixels off")
        for begin, end in zip(true[chosen], points[chosen], strict=True):
            line = np.stack([begin, end])[:, ::-1]
            axes.plot(*line.T, color=style.VERMILION, lw=0.8)
        axes.plot(*true[chosen][:, ::-1].T, "o", ms=3, color=style.BLUE)
        axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
    return figure
