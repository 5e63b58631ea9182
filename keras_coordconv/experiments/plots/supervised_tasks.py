"""Data and predictions of the paper's supervised tasks."""

import numpy as np
from matplotlib.figure import Figure

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.plots import style
from keras_coordconv.experiments.plots.canvas import frame_canvas
from keras_coordconv.experiments.plots.canvas import show_canvas


def plot_not_so_clevr():
    """Draws the data set: an example, and both splits. Figure 2 of the paper.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    # This imports TensorFlow Datasets, which no other figure needs.
    from keras_coordconv.experiments.datasets import not_so_clevr

    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axes = figure.subplots(1, 4)
    example = np.array([[40, 22]])
    show_canvas(
        axes[0], not_so_clevr.draw_centers(example)[0], "One example, as center"
    )
    show_canvas(
        axes[1],
        not_so_clevr.draw_squares(example)[0],
        "The same, as square",
    )
    for axis, split in zip(axes[2:], ("uniform", "quadrant"), strict=True):
        for subset, color in (("train", "tab:blue"), ("test", "tab:red")):
            centers = not_so_clevr.subset_locations(split, subset)
            axis.scatter(
                *centers.T,
                s=2,
                color=color,
                linewidths=0,
                label=f"{subset} ({len(centers)})",
            )
        frame_canvas(axis, f"Centers of the {split} split")
        axis.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.26),
            ncols=2,
            markerscale=4,
            frameon=False,
        )
    return figure


def sum_images(batches):
    """Sums images over batches, for `plot_summed_predictions`.

    Args:
        batches: Iterable of arrays with 4096 pixels per image, row by row.

    Returns:
        Array of shape `(64, 64)`.
    """
    shape = (-1, CANVAS_SIZE, CANVAS_SIZE)
    return sum(np.reshape(batch, shape).sum(axis=0) for batch in batches)


def plot_summed_predictions(true_sums, predictions):
    """Draws the sums of the true and of the predicted images of each set.

    Figure 5 of the paper. If a model is perfect on a set, its column equals the
    ground truth.

    Args:
        true_sums: Dictionary from the name of a set, a row of the figure, to an
            array of shape `(64, 64)`, the sum of the true images of the set.
        predictions: Dictionary from the name of a model, a column of the
            figure, to a dictionary like `true_sums`, the sums of its outputs.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    columns = {"ground truth": true_sums, **predictions}
    figure = Figure(
        figsize=(3.1 * len(columns) + 0.6, 2.9 * len(true_sums)),
        layout="constrained",
    )
    axes = figure.subplots(len(true_sums), len(columns), squeeze=False)
    for row, name in zip(axes, true_sums, strict=True):
        # Larger sums are as bright as the largest true one.
        brightest = true_sums[name].max()
        for axis, (column, sums) in zip(row, columns.items(), strict=True):
            image = show_canvas(
                axis,
                sums[name],
                f"{name}: {style.name_of(column)}",
                vmax=brightest,
            )
        figure.colorbar(
            image, ax=list(row), shrink=0.8, label="sum", extend="max"
        )
    return figure


def plot_locations(locations):
    """Plots locations on the canvas, such as those that a model predicts.

    Args:
        locations: Dictionary from a title to an array of shape
            `(examples, 2)`, (x, y) in pixels.

    Returns:
        A `matplotlib.figure.Figure` with one panel per title.
    """
    figure = Figure(figsize=(3.6 * len(locations), 4.0), layout="constrained")
    axes = figure.subplots(1, len(locations), squeeze=False)[0]
    for axis, (title, points) in zip(axes, locations.items(), strict=True):
        axis.scatter(*np.asarray(points).T, s=2, linewidths=0)
        frame_canvas(axis, title)
    return figure


def plot_rendered(locations, images, source):
    """Draws the images rendered for some locations, which are marked.

    Args:
        locations: Array of shape `(examples, 2)`, (x, y) in pixels.
        images: Array of shape `(examples, 64, 64, 1)`, in `[0, 1]`.
        source: String, what rendered them.

    Returns:
        A `matplotlib.figure.Figure` with one panel per example.
    """
    figure = Figure(figsize=(2.6 * len(images), 3.1), layout="constrained")
    figure.suptitle(f"Rendered by {source}", fontsize="medium")
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (x, y), image in zip(axes, locations, images, strict=True):
        show_canvas(axis, image, f"x = {x:g}, y = {y:g}")
        axis.plot(x, y, "r+")
    return figure
