"""Scores by the place on the canvas."""

import numpy as np
from matplotlib.figure import Figure


def plot_by_place(answers, place, score):
    """The mean score of each net at each place.

    Args:
        answers: Dictionary from a net's name to a pair of arrays of one shape:
            the place of each answer, and its score.
        place: String, what the places are.
        score: String, what the scores are.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, (places, scores) in answers.items():
        shown = np.unique(places)
        means = [np.mean(scores[places == one]) for one in shown]
        axis.plot(shown, means, marker=".", label=name)
    axis.set(xlabel=place, ylabel=score)
    axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return figure
