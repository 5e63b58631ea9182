"""Scores of games with different units as one number, with its uncertainty.

As Agarwal et al. (2021, https://arxiv.org/abs/2108.13264) advise it for a few
runs of several games: the interquartile mean of human-normalized scores, and
intervals by the stratified bootstrap.
"""

import numpy as np

# The mean return in training is that of the last games.
GAMES_IN_MEAN = 100

# Of random play and of people, after up to 30 frames without an action, from
# Wang et al. (2016), https://arxiv.org/abs/1511.06581.
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
    """Scores on a scale on which random play has 0 and people have 1.

    Args:
        game: String, one of `RANDOM_AND_HUMAN`.
        scores: Number or array.
    """
    random, human = RANDOM_AND_HUMAN[game]
    return (np.asarray(scores) - random) / (human - random)


def interquartile_mean(scores):
    """Mean of the scores without the lowest and the highest quarter.

    Args:
        scores: Array, of runs of all games together along the last axis.

    Example:

    >>> float(interquartile_mean([0, 1, 2, 99, -99, 3, 4, 5]))
    2.5
    """
    ordered = np.sort(scores, axis=-1)
    count = ordered.shape[-1]
    return ordered[..., count // 4 : count - count // 4].mean(axis=-1)


def bootstrap_interval(scores, samples=10_000, seed=0):
    """Interval of the interquartile mean, at a confidence of 95 %.

    Args:
        scores: List of arrays, the scores of the runs of each game. Those of
            each game are drawn anew, with replacement.
        samples: Integer, how often.
        seed: Integer, of the random numbers.

    Returns:
        Pair of numbers.
    """
    random = np.random.default_rng(seed)
    drawn = [
        random.choice(of_game, (samples, len(of_game))) for of_game in scores
    ]
    means = interquartile_mean(np.concatenate(drawn, axis=-1))
    return tuple(np.percentile(means, [2.5, 97.5]))
