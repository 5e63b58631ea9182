"""A game of Seaquest, played by the agent that is served."""

import numpy as np

from keras_coordconv.experiments.reinforcement import a2c

AGENT = "seaquest_policy"
NAME = "Seaquest"


class _Policy:
    """The agent as an actor-critic that keeps how likely each action was."""

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
    """Plays a game.

    Args:
        models: `SavedModels` or `ServingClient`.
        environments: `Environments`, one of them.
        seed: Integer.

    Returns:
        Tuple of the score and a list of the steps, the first 2000 at most: each
        a pair of the observation and the probabilities of the actions.
    """
    policy = _Policy(models)
    (score,), observations = a2c.play_games(policy, environments, seed)
    return score, list(zip(observations, policy.probabilities, strict=False))


def name_actions(probabilities):
    """Dictionary of the probabilities by the names of Atari's 18 actions."""
    from ale_py import Action

    return {
        Action(index).name: float(probability)
        for index, probability in enumerate(probabilities)
    }
