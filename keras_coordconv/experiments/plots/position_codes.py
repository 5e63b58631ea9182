"""Held-out positions that networks find, by position code."""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from keras_coordconv.experiments.canvas import CANVAS_SIZE

LABELS = {
    "coordinates": "coordinates\n(CoordConv)",
    "relative": "learned per offset\nfrom the query",
    "pixel": "learned per pixel",
    "axis": "learned per column\nand per row",
    "fourier": "Fourier features",
    "unshared": "learned per pixel,\nquery as (x, y)",
    "padding": "zero padding,\n3x3 convolutions",
    "none": "no code",
}
# What is new in the held-out positions.
_NEW = {
    "uniform": "new pairs",
    "middle": "new pairs",
    "quadrant": "new pairs",
    "band": "new columns",
    "border": "new columns and rows",
}
_NEVER_FOUND, _ALWAYS_FOUND = (0.84, 0.29, 0.18), (0.17, 0.48, 0.71)


def plot_position_codes(runs):
    """Draws the held-out positions that the networks find, one row per code.

    Args:
        runs: List of dictionaries, each a run of `position_codes`: its `code`,
            `split`, `train_accuracy` and `test_accuracy`; `centers`, an integer
            array of shape `(examples, 2)`, (x, y) of the test positions; and
            `found`, a boolean array of shape `(examples,)`.

    Returns:
        A `matplotlib.figure.Figure` with one panel per code and split. The
        color of a test position is the fraction of the runs that find it. The
        title has the mean test accuracy with the lowest and the highest of the
        runs, and the mean training accuracy if it is below 99 %.
    """
    splits = [name for name in _NEW if any(r["split"] == name for r in runs)]
    codes = [name for name in LABELS if any(r["code"] == name for r in runs)]
    shades = np.linspace(_NEVER_FOUND, _ALWAYS_FOUND, 64)
    colors = ListedColormap(shades).with_extremes(bad=(0.93, 0.93, 0.93))
    figure = Figure(
        figsize=(2.2 + 1.6 * len(splits), 0.9 + 1.75 * len(codes)),
        layout="constrained",
    )
    panels = figure.subplots(len(codes), len(splits), squeeze=False)
    for code, row in zip(codes, panels, strict=True):
        row[0].set_ylabel(
            LABELS[code], rotation=0, ha="right", va="center", fontsize=10
        )
        for split, panel in zip(splits, row, strict=True):
            own = [
                run
                for run in runs
                if run["code"] == code and run["split"] == split
            ]
            shown = panel.imshow(
                fraction_found(own), cmap=colors, vmin=0, vmax=1, origin="upper"
            )
            title = describe(own)
            if code == codes[0]:
                title = f"{split}\n{_NEW[split]}\n\n{title}"
            panel.set_title(title, fontsize=9)
            panel.set(xticks=(), yticks=())
    bar = figure.colorbar(
        shown, ax=panels, location="bottom", shrink=0.5, aspect=40, pad=0.02
    )
    bar.set_label("fraction of the seeds that find a held-out position")
    return figure


def fraction_found(runs):
    """Returns an image of the fraction of runs that find a position, or NaN."""
    image = np.full((CANVAS_SIZE, CANVAS_SIZE), np.nan)
    if runs:
        x, y = runs[0]["centers"].T
        image[y, x] = np.mean([run["found"] for run in runs], axis=0)
    return image


def describe(runs):
    """Describes the mean, lowest and highest test accuracy, in percent."""
    if not runs:
        return "not run"
    scores = [100 * run["test_accuracy"] for run in runs]
    texts = [f"{x:.3g}" for x in (np.mean(scores), min(scores), max(scores))]
    text = f"{texts[0]} %"
    if texts[1] != texts[2]:
        text += f" ({texts[1]} to {texts[2]})"
    train = np.mean([run["train_accuracy"] for run in runs])
    return text if train >= 0.99 else f"{text}\ntrain {100 * train:.3g} %"
