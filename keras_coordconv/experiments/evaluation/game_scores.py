"""Aggregates the scores of several games into one number with an interval.

As recommended by Agarwal et al. (2021, https://arxiv.org/abs/2108.13264) for a
few runs per game: the interquartile mean of human-normalized scores, with an
interval from the stratified bootstrap.
"""

import numpy as np

# The mean return in training is averaged over this number of last games.
GAMES_IN_MEAN = 100

# Scores of random play and of humans, after up to 30 frames without an action,
# from Wang et al. (2016), https://arxiv.org/abs/1511.06581.
RANDOM_AND_HUMAN = {
    "Asterix": (210.0, 8503.3),
    "BeamRider": (363.9, 16926.5),
    "Breakout": (1.7, 30.5),
    "Enduro": (0.0, 860.5),
    "MsPacman": (307.3, 6951.6),
    "Pong": (-20.7, 14.6),
    "Qbert": (163.9, 13455.0),
    "Seaquest": (68.4, 42054.7),
    "SpaceInvaders": (148.0, 1668.7),
}


def human_normalized(game, scores):
    """Normalizes scores so that random play scores 0 and humans score 1.

    Args:
        game: String, one of `RANDOM_AND_HUMAN`.
        scores: Number or array.

    Returns:
        Number or array, as `scores`.
    """
    random, human = RANDOM_AND_HUMAN[game]
    return (np.asarray(scores) - random) / (human - random)


def interquartile_mean(scores):
    """Computes the mean without the lowest and highest quarters of the scores.

    Args:
        scores: Array with the runs of all games along the last axis.

    Returns:
        Number, or array without the last axis.

    Example:

    >>> float(interquartile_mean([0, 1, 2, 99, -99, 3, 4, 5]))
    2.5
    """
    ordered = np.sort(scores, axis=-1)
    count = ordered.shape[-1]
    return ordered[..., count // 4 : count - count // 4].mean(axis=-1)


def bootstrap_interval(scores, samples=10_000, seed=0):
    """Computes the 95% bootstrap interval of the interquartile mean.

    Args:
        scores: List of arrays, the scores of the runs of each game. The runs
            of each game are resampled separately, with replacement.
        samples: Integer, number of resamplings.
        seed: Integer, seed of the random numbers.

    Returns:
        Pair of numbers, the bounds of the interval.
    """
    random = np.random.default_rng(seed)
    drawn = [
        random.choice(of_game, (samples, len(of_game))) for of_game in scores
    ]
    means = interquartile_mean(np.concatenate(drawn, axis=-1))
    return tuple(np.percentile(means, [2.5, 97.5]))
