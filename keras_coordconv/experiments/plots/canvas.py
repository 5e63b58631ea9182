"""Panels that show the canvas of Not-so-Clevr."""

import numpy as np

from keras_coordconv.experiments.canvas import CANVAS_SIZE


def show_canvas(axis, image, title, vmax=1.0):
    shown = axis.imshow(
        np.squeeze(image), cmap="gray", vmin=0.0, vmax=vmax, origin="upper"
    )
    frame_canvas(axis, title)
    return shown


def frame_canvas(axis, title):
    axis.set(
        title=title,
        xlim=(-0.5, CANVAS_SIZE - 0.5),
        ylim=(CANVAS_SIZE - 0.5, -0.5),
        xticks=(0, 32, 63),
        yticks=(0, 32, 63),
        xlabel="x [pixel]",
        ylabel="y [pixel]",
        aspect="equal",
    )
