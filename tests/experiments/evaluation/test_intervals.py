import numpy as np
import pytest

from keras_coordconv.experiments.evaluation import intervals

stats = pytest.importorskip("scipy.stats")

SAMPLES = [1.0, 0.9, 1.0, 0.95, 1.0], [0.5, 0.75, 0.25, 0.5, 0.5]


def test_intervals_are_scipy_s():
    mean, width = intervals.mean_interval(SAMPLES[1])
    interval = stats.ttest_1samp(SAMPLES[1], 0).confidence_interval()
    np.testing.assert_allclose([mean - width, mean + width], interval)
    difference, width = intervals.difference_interval(*SAMPLES)
    welch = stats.ttest_ind(*SAMPLES, equal_var=False).confidence_interval()
    np.testing.assert_allclose([difference - width, difference + width], welch)
    assert intervals.difference_interval([1, 1], [3, 3]) == (-2, 0)
