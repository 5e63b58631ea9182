import numpy as np
import pytest
from scipy import stats

from keras_coordconv.experiments.evaluation import game_scores


def test_human_normalized():
    scores = game_scores.human_normalized("Pong", [-20.7, 14.6, -3.05])
    np.testing.assert_allclose(scores, [0, 1, 0.5], atol=1e-12)


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 8])
def test_interquartile_mean(runs):
    scores = np.random.default_rng(runs).normal(size=(9, runs))
    expected = stats.trim_mean(scores, 0.25, axis=None)
    found = game_scores.interquartile_mean(scores.ravel())
    assert found == pytest.approx(expected)


def test_interval_contains_the_truth_at_its_confidence():
    random = np.random.default_rng(0)
    # The scores of all games are distributed around 2.
    intervals = [
        game_scores.bootstrap_interval(
            list(random.normal(2, 1, size=(4, 20))), samples=300
        )
        for _ in range(100)
    ]
    hits = sum(low < 2 < high for low, high in intervals)
    assert 88 <= hits <= 99


def test_games_are_resampled_separately():
    # All runs of a game agree, so that all resamplings are the same.
    scores = [[1.0, 1.0], [5.0, 5.0], [2.0, 2.0]]
    low, high = game_scores.bootstrap_interval(scores, samples=50)
    assert low == high == (1 + 2 + 2 + 5) / 4
