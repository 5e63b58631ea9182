"""Scores by position on the canvas."""

import numpy as np
from matplotlib.figure import Figure

from keras_coordconv.experiments.plots import style


def plot_by_position(answers, position, score):
    """Plots the mean score of each model at each position.

    Args:
        answers: Dictionary from the name of a model to a pair of arrays of the
            same shape: the position of each prediction, and its score.
        position: String, label of the positions.
        score: String, label of the scores.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, (positions, scores) in answers.items():
        shown = np.unique(positions)
        means = [np.mean(scores[positions == one]) for one in shown]
        axis.plot(shown, means, marker=".", label=style.name_of(name))
    axis.set(xlabel=position, ylabel=score)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure
