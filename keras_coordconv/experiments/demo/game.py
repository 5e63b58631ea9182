"""Plays a game of Seaquest with the served agent."""

import numpy as np

from keras_coordconv.experiments.reinforcement import a2c

AGENT = "seaquest_policy"
NAME = "Seaquest"


class _Policy:
    """Actor-critic that records the probabilities of the agent's actions."""

    def __init__(self, models):
        self._models = models
        self.probabilities = []

    def predict_on_batch(self, observations):
        inputs = {"observation": observations}
        answer = self._models.predict(AGENT, inputs, "tensor")
        self.probabilities.append(answer["probabilities"][0])
        tiny = np.finfo("float32").tiny
        return {"policy": np.log(np.maximum(answer["probabilities"], tiny))}


def play(models, environments, seed):
    """Play a game.

    Args:
        models: `SavedModels` or `ServingClient`.
        environments: `Environments` with one environment.
        seed: Integer.

    Returns:
        Tuple of the score and a list of the steps, at most the first 2000. Each
        step is a pair of the observation and the probabilities of the actions.
    """
    policy = _Policy(models)
    (score,), observations = a2c.play_games(policy, environments, seed)
    return score, list(zip(observations, policy.probabilities, strict=False))


def name_actions(probabilities):
    """Return a dictionary of probabilities by the names of Atari's actions."""
    from ale_py import Action

    return {
        Action(index).name: float(probability)
        for index, probability in enumerate(probabilities)
    }
