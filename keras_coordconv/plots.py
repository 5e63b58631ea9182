"""Every figure of the project; the only module that needs matplotlib."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullFormatter

from keras_coordconv.datasets import not_so_clevr


def plot_not_so_clevr():
    """The data set: two examples, and both splits. Figure 2 of the paper.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axes = figure.subplots(1, 4)
    example = np.array([[40, 22]])
    _show_canvas(
        axes[0], not_so_clevr.draw_centers(example)[0], "One example: centre"
    )
    _show_canvas(
        axes[1], not_so_clevr.draw_squares(example)[0], "The same: square"
    )
    for axis, split in zip(axes[2:], not_so_clevr.SPLITS, strict=True):
        for subset, color in (("train", "tab:blue"), ("test", "tab:red")):
            centers = not_so_clevr.subset_locations(split, subset)
            axis.scatter(
                *centers.T,
                s=2,
                color=color,
                linewidths=0,
                label=f"{subset} ({len(centers)})",
            )
        _frame_canvas(axis, f"Centres of the {split} split")
        axis.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.26),
            ncols=2,
            markerscale=4,
            frameon=False,
        )
    return figure


def sum_images(batches):
    """Sum over batches of images, as `plot_summed_predictions` takes it.

    Args:
        batches: Iterable of arrays that hold 4096 pixels an image, row by row.

    Returns:
        Array of shape `(64, 64)`.
    """
    shape = (-1, not_so_clevr.CANVAS_SIZE, not_so_clevr.CANVAS_SIZE)
    return sum(np.reshape(batch, shape).sum(axis=0) for batch in batches)


def plot_summed_predictions(truths, predictions):
    """Sums over all examples of a set: what was asked, what was answered.

    Figure 5 of the paper: a set on which a model is perfect
    has the same picture in both columns.

    Args:
        truths: Dictionary from a set's name (a row of the figure) to an array
            of shape `(64, 64)`, the sum of the true images of the set.
        predictions: Dictionary from a model's name (a column) to a dictionary
            like `truths`, the sums of the model's outputs.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    columns = {"truth": truths, **predictions}
    figure = Figure(
        figsize=(3.1 * len(columns) + 0.6, 2.9 * len(truths)),
        layout="constrained",
    )
    axes = figure.subplots(len(truths), len(columns), squeeze=False)
    for row, name in zip(axes, truths, strict=True):
        brightest = max(sums[name].max() for sums in columns.values())
        for axis, (column, sums) in zip(row, columns.items(), strict=True):
            image = _show_canvas(
                axis, sums[name], f"{name}: {column}", vmax=brightest
            )
        figure.colorbar(image, ax=list(row), shrink=0.8, label="sum")
    return figure


def plot_locations(locations):
    """Points on the canvas: where a net puts the examples of each set.

    Args:
        locations: Dictionary from a title to an array of shape
            `(examples, 2)`, (x, y) in pixels.

    Returns:
        A `matplotlib.figure.Figure` with one panel a title.
    """
    figure = Figure(figsize=(3.6 * len(locations), 4.0), layout="constrained")
    axes = figure.subplots(1, len(locations), squeeze=False)[0]
    for axis, (title, points) in zip(axes, locations.items(), strict=True):
        axis.scatter(*np.asarray(points).T, s=2, linewidths=0)
        _frame_canvas(axis, title)
    return figure


def plot_rendered(locations, images, source):
    """What a rendering net paints for some locations, each marked.

    Args:
        locations: Array of shape `(examples, 2)`, (x, y) in pixels.
        images: Array of shape `(examples, 64, 64, 1)`, in `[0, 1]`.
        source: String, what painted them.

    Returns:
        A `matplotlib.figure.Figure` with one panel an example.
    """
    figure = Figure(figsize=(2.6 * len(images), 3.1), layout="constrained")
    figure.suptitle(f"Rendered by {source}", fontsize="medium")
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    for axis, (x, y), image in zip(axes, locations, images, strict=True):
        _show_canvas(axis, image, f"x = {x:g}, y = {y:g}")
        axis.plot(x, y, "r+")
    return figure


def plot_scores(runs, score):
    """Test against train, and test against time. Figures 4 and 6 of the paper.

    Args:
        runs: Dictionary from a label to a list of runs with the same settings
            and different seeds, as from `training.history.read_run`.
        score: String, the metric: `"accuracy"`, `"distance"` or `"iou"`.

    Returns:
        A `matplotlib.figure.Figure` with two panels: the final scores of each
        run; and for each label the median over its runs of the test score after
        each epoch, with the range, over the median time.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    final, over_time = figure.subplots(1, 2)
    unit = " [pixel]" if score == "distance" else ""
    for index, (label, of_label) in enumerate(runs.items()):
        color = f"C{index}"
        final.scatter(
            [run["metrics"][f"train_{score}"] for run in of_label],
            [run["metrics"][f"test_{score}"] for run in of_label],
            color=color,
            alpha=0.7,
            label=label,
        )
        seconds, scores = (
            np.array(
                [[row[name] for row in run["history"]] for run in of_label]
            )
            for name in ("seconds", f"val_{score}")
        )
        time = np.median(seconds, axis=0)
        over_time.plot(
            time,
            np.median(scores, axis=0),
            color=color,
            marker="." if len(time) < 30 else None,
            label=f"{label} ({len(of_label)} run{'s' * (len(of_label) > 1)})",
        )
        over_time.fill_between(
            time, scores.min(axis=0), scores.max(axis=0), color=color, alpha=0.2
        )
    if score == "distance":
        scores = [
            run["metrics"][f"{subset}_{score}"]
            for of_label in runs.values()
            for run in of_label
            for subset in ("train", "test")
        ]
        limits = (min(scores) / 2, 2 * max(scores))
        final.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
        over_time.set_yscale("log")
    else:
        limits = (-0.05, 1.05)
        final.set(xlim=limits, ylim=limits)
        over_time.set_ylim(limits)
    final.plot(limits, limits, color="gray", linewidth=0.8, zorder=0)
    final.set(
        title="At the end of the training",
        xlabel=f"train {score}{unit}",
        ylabel=f"test {score}{unit}",
    )
    over_time.set(
        title="Median and range",
        xlabel="time of training [s]",
        ylabel=f"test {score}{unit}",
    )
    times = [time for line in over_time.lines for time in line.get_xdata()]
    if max(times) > 10 * min(times):
        over_time.set_xscale("log")
        # The labels between the powers of ten would overlap.
        over_time.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        over_time.xaxis.set_major_formatter("{x:g}")
        over_time.xaxis.set_minor_formatter(NullFormatter())
    over_time.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure


def plot_benchmark(rows):
    """Time of each layer as a multiple of the plain convolution's.

    Args:
        rows: List of dictionaries with `mode`, `shape`, `model` and `ratio`, as
            `examples/benchmark_layers.py` writes them.

    Returns:
        A `matplotlib.figure.Figure` with one panel a mode.
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
            places = np.array([shapes.index(shape) for shape in by_shape])
            axis.barh(
                places - 0.4 + (index + 0.5) * height,
                values,
                height,
                color=colors[name],
                label=f"{name} (geometric mean {mean:.2f})",
            )
        axis.axvline(1.0, color="black", linewidth=1)
        axis.set(
            title=mode,
            xlabel="time / time of Conv2D",
            ylim=(len(shapes) - 0.5, -0.5),
            yticks=np.arange(len(shapes)),
            yticklabels=shapes,
        )
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.06), frameon=False
        )
    return figure


def _show_canvas(axis, image, title, vmax=1.0):
    shown = axis.imshow(
        np.squeeze(image), cmap="gray", vmin=0.0, vmax=vmax, origin="upper"
    )
    _frame_canvas(axis, title)
    return shown


def _frame_canvas(axis, title):
    size = not_so_clevr.CANVAS_SIZE
    axis.set(
        title=title,
        xlim=(-0.5, size - 0.5),
        ylim=(size - 0.5, -0.5),
        xticks=(0, 32, 63),
        yticks=(0, 32, 63),
        xlabel="x [pixel]",
        ylabel="y [pixel]",
        aspect="equal",
    )
