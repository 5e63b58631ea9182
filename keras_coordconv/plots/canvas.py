"""The canvas of Not-so-Clevr as a panel of a figure."""

import numpy as np

from keras_coordconv.datasets import not_so_clevr


def show_canvas(axis, image, title, vmax=1.0):
    shown = axis.imshow(
        np.squeeze(image), cmap="gray", vmin=0.0, vmax=vmax, origin="upper"
    )
    frame_canvas(axis, title)
    return shown


def frame_canvas(axis, title):
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
