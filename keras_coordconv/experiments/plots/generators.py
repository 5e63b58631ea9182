"""Generated images, and the positions of their objects."""

import numpy as np
from matplotlib.figure import Figure

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.evaluation import coverage

SAMPLES = 5


def plot_images(images, columns=8):
    """Draws images side by side, without axes.

    Args:
        images: uint8 array of shape `(images, height, width, 3)`.
        columns: Integer, number of images per row.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    sheet = tile_images(images, columns)
    height, width, _ = sheet.shape
    figure = Figure(figsize=(width / 75, height / 75))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(sheet, interpolation="nearest")
    axis.axis("off")
    return figure


def tile_images(images, columns, gap=2, gray=160):
    """Arranges images in a grid, row by row, separated by gray lines.

    Args:
        images: uint8 array of shape `(images, height, width, 3)`.
        columns: Integer, number of images per row.
        gap: Integer, width of the lines in pixels.
        gray: Integer, value of their pixels.

    Returns:
        uint8 array of shape `(height, width, 3)`.
    """
    images = np.asarray(images)
    missing = -len(images) % columns
    padded = np.pad(
        images,
        ((0, missing), (0, gap), (0, gap), (0, 0)),
        constant_values=gray,
    )
    _, height, width, channels = padded.shape
    grid = padded.reshape(-1, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(-1, columns * width, channels)[:-gap, :-gap]


def plot_lines(lines, shown=12):
    """Draws interpolations between images, one per row.

    Args:
        lines: Dictionary from a name to its interpolations, a uint8 array of
            shape `(lines, images, height, width, 3)`.
        shown: Integer, number of images to draw per row, evenly spaced.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    sheets = {}
    for name, images in lines.items():
        chosen = np.linspace(0, images.shape[1] - 1, shown).round().astype(int)
        images = images[:, chosen]
        sheets[name] = tile_images(images.reshape(-1, *images.shape[2:]), shown)
    ratios = [len(sheet) for sheet in sheets.values()]
    figure = Figure(figsize=(9, sum(ratios) / 85), layout="constrained")
    axes = figure.subplots(len(sheets), 1, squeeze=False, height_ratios=ratios)[
        :, 0
    ]
    for axis, (name, sheet) in zip(axes, sheets.items(), strict=True):
        axis.imshow(sheet)
        axis.set(ylabel=name, xticks=(), yticks=())
    return figure


def plot_coverage(generators):
    """Draws samples, the objects' centers, their differences and the average.

    Figure 7 of the paper.

    Args:
        generators: Dictionary from a name, such as `"data"` or `"GAN"`, to
            images, uint8 of shape `(images, 64, 64, 3)`.

    Returns:
        A `matplotlib.figure.Figure` with one row per name.
    """
    size = CANVAS_SIZE
    figure = Figure(
        figsize=(13, 0.4 + 2.8 * len(generators)), layout="constrained"
    )
    axes = figure.subplots(len(generators), 4, squeeze=False)
    for row, (name, images) in zip(axes, generators.items(), strict=True):
        centers = coverage.find_centers(images)
        samples, positions, differences, average = row
        samples.imshow(tile_images(images[: SAMPLES**2], SAMPLES))
        samples.set_ylabel(name)
        for color, points in centers.items():
            positions.scatter(
                *points.T, s=3, color=color, alpha=0.4, linewidths=0
            )
        positions.set(xlim=(0, size), ylim=(size, 0))
        differences.scatter(
            *(centers["red"] - centers["blue"]).T,
            s=3,
            color="black",
            alpha=0.4,
            linewidths=0,
        )
        differences.set(xlim=(-size, size), ylim=(size, -size))
        for axis in (positions, differences):
            axis.set(aspect="equal", xlabel="x [pixel]", ylabel="y [pixel]")
        average.imshow(np.mean(images, axis=0).astype("uint8"))
        for axis in (samples, average):
            axis.set(xticks=(), yticks=())
    for axis, title in zip(
        axes[0],
        ("samples", "centers", "red center - blue center", "average"),
        strict=True,
    ):
        axis.set_title(title)
    return figure
