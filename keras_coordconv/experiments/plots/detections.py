"""Detections in images of scattered MNIST."""

import math

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from keras_coordconv.experiments.plots import style
from keras_coordconv.experiments.plots.canvas import show_canvas

TRUE = {"edgecolor": style.GREEN, "linewidth": 1, "linestyle": "--"}
FOUND = {"edgecolor": style.ORANGE, "linewidth": 1.5}


def plot_detections(images, true_boxes, boxes, scores, min_score=0.9):
    """Draws images with their true boxes and the boxes of a detector.

    Args:
        images: Array of shape `(images, 64, 64, 1)`, in `[0, 1]`.
        true_boxes: Array of shape `(images, objects, 4)`, top, left, bottom and
            right in pixels.
        boxes: Array of shape `(images, boxes, 4)`.
        scores: Array of shape `(images, boxes)`.
        min_score: Float. Boxes with a lower score are not drawn.

    Returns:
        A `matplotlib.figure.Figure` with one panel per image, three per row.
    """
    rows = math.ceil(len(images) / 3)
    figure = Figure(figsize=(9, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for axis, image, *drawn in zip(
        panels, images, true_boxes, boxes, scores, strict=False
    ):
        show_canvas(axis, image, title="")
        _draw_boxes(axis, *drawn, min_score)
    for axis in panels[len(images) :]:
        axis.set_axis_off()
    true, found = (
        Rectangle((0, 0), 1, 1, fill=False, **style) for style in (TRUE, FOUND)
    )
    figure.legend(
        [true, found],
        ["ground truth", "detection, with its score"],
        loc="outside upper center",
        ncols=2,
        frameon=False,
    )
    return figure


def _draw_boxes(axis, true_boxes, boxes, scores, min_score):
    for box in true_boxes:
        axis.add_patch(_rectangle(box, TRUE))
    for box, score in zip(boxes, scores, strict=True):
        if score >= min_score:
            patch = axis.add_patch(_rectangle(box, FOUND))
            axis.annotate(
                f"{score:.2f}", patch.get_xy(), color=FOUND["edgecolor"], size=7
            )


def _rectangle(box, style):
    top, left, bottom, right = (float(side) for side in box)
    # The center of the first pixel is at 0.
    return Rectangle(
        (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, **style
    )
