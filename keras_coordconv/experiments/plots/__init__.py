"""Figures, one module per kind. Only these modules need matplotlib."""

from keras_coordconv.experiments.plots.benchmark import plot_benchmark
from keras_coordconv.experiments.plots.detections import plot_detections
from keras_coordconv.experiments.plots.generators import plot_coverage
from keras_coordconv.experiments.plots.generators import plot_images
from keras_coordconv.experiments.plots.generators import plot_lines
from keras_coordconv.experiments.plots.globe import plot_globe
from keras_coordconv.experiments.plots.key_points import plot_key_points
from keras_coordconv.experiments.plots.position_codes import plot_position_codes
from keras_coordconv.experiments.plots.probes import plot_by_position
from keras_coordconv.experiments.plots.returns import plot_intervals
from keras_coordconv.experiments.plots.returns import plot_returns
from keras_coordconv.experiments.plots.scores import plot_epochs
from keras_coordconv.experiments.plots.scores import plot_scores
from keras_coordconv.experiments.plots.supervised_tasks import plot_locations
from keras_coordconv.experiments.plots.supervised_tasks import plot_not_so_clevr
from keras_coordconv.experiments.plots.supervised_tasks import plot_rendered
from keras_coordconv.experiments.plots.supervised_tasks import (
    plot_summed_predictions,
)
from keras_coordconv.experiments.plots.supervised_tasks import sum_images
from keras_coordconv.experiments.plots.tiles import plot_classes
from keras_coordconv.experiments.plots.units import plot_units

__all__ = [
    "plot_benchmark",
    "plot_by_position",
    "plot_classes",
    "plot_coverage",
    "plot_detections",
    "plot_epochs",
    "plot_globe",
    "plot_images",
    "plot_intervals",
    "plot_key_points",
    "plot_lines",
    "plot_locations",
    "plot_not_so_clevr",
    "plot_position_codes",
    "plot_rendered",
    "plot_returns",
    "plot_scores",
    "plot_summed_predictions",
    "plot_units",
    "sum_images",
]
