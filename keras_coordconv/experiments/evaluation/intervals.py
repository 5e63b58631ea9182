"""95% confidence intervals of means."""

import numpy as np


def mean_interval(values):
    """Computes the mean and half the width of its 95% interval (Student's)."""
    from scipy import stats

    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), stats.t.ppf(0.975, len(values) - 1) * error


def difference_interval(values, others):
    """Computes the difference of means and half its 95% interval (Welch's)."""
    from scipy import stats

    error, degrees = 0.0, 0.0
    for sample in (values, others):
        own = np.var(sample, ddof=1) / len(sample)
        error += own
        degrees += own**2 / (len(sample) - 1)
    difference = np.mean(values) - np.mean(others)
    if not error:
        return difference, 0.0
    width = stats.t.ppf(0.975, error**2 / degrees) * np.sqrt(error)
    return difference, width
