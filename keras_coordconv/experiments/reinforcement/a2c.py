"""Synchronous advantage actor-critic, A2C (Mnih et al., 2016).

    compile_model(model, learning_rate=0.0007)
    rollouts = Rollouts(environments, steps=5)
    rollouts.reset(seed=0)
    for _ in range(1000):
        model.train_on_batch(*rollouts.collect(model))

The models have the outputs `policy` and `value`, as in
`models/actor_critic.py`; the environments are those of `environments.py`.
"""

import keras
import numpy as np
from keras import ops

from keras_coordconv.experiments.training.optimizers import RMSpropTFStyle

# Steps of the first game that `play_games` records, over two minutes on Atari.
RECORDED_STEPS = 2000


@keras.saving.register_keras_serializable(package="keras_coordconv")
def entropy(targets, logits):
    """Computes the entropy of the policy in nats, as a metric.

    It starts near `log(actions)` and decreases as the policy becomes decisive.

    Args:
        targets: Unused.
        logits: Tensor of shape `(batch, actions)`.

    Returns:
        Tensor of shape `(batch,)`.
    """
    log_probabilities = ops.log_softmax(logits)
    return -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class PolicyLoss(keras.losses.Loss):
    """Loss whose gradient is the policy gradient, with an entropy bonus.

    Args:
        entropy_weight: Float, weight of the entropy bonus.

    Call arguments:
        targets: Tensor of shape `(batch, actions)`: the advantage at the
            action that was taken, 0 elsewhere.
        logits: Tensor of shape `(batch, actions)`.
    """

    def __init__(self, entropy_weight=0.01, name="policy_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.entropy_weight = entropy_weight

    def call(self, targets, logits):
        gained = ops.sum(targets * ops.log_softmax(logits), axis=-1)
        return -gained - self.entropy_weight * entropy(targets, logits)

    def get_config(self):
        return {**super().get_config(), "entropy_weight": self.entropy_weight}


def compile_model(model, learning_rate, entropy_weight=0.01):
    """Compiles an actor-critic with the usual settings of A2C.

    RMSprop with its accumulator initialized to 1, gradient clipping at a global
    norm of 0.5, and weight 0.5 for the value's squared error.

    Args:
        model: Actor-critic.
        learning_rate: Float, or a schedule of `keras.optimizers.schedules`.
        entropy_weight: Float, weight of the entropy bonus.
    """
    model.compile(
        RMSpropTFStyle(
            learning_rate, rho=0.99, epsilon=1e-5, global_clipnorm=0.5
        ),
        {"policy": PolicyLoss(entropy_weight), "value": "mse"},
        loss_weights={"policy": 1.0, "value": 0.5},
        metrics={"policy": entropy},
    )


def n_step_returns(rewards, ends, next_values, discount):
    """Computes n-step returns, up to the end of the episode or the rollout.

    Args:
        rewards: Array of shape `(steps, environments)`.
        ends: Boolean array of the same shape: whether the step is the last one
            of its episode.
        next_values: Array of shape `(environments,)`, the values of the
            observations after the last step.
        discount: Float, discount factor per step.

    Returns:
        Array of shape `(steps, environments)`.

    Example:

    >>> n_step_returns([[1.0], [1.0], [0.0]], [[0], [1], [0]], [8.0], 0.5)
    array([[1.5], [1. ], [4. ]])
    """
    returns = np.empty_like(rewards)
    following = np.asarray(next_values)
    for step in reversed(range(len(rewards))):
        kept = np.logical_not(ends[step])
        following = rewards[step] + discount * kept * following
        returns[step] = following
    return returns


class Rollouts:
    """Plays with an actor-critic and collects batches for training.

    Args:
        environments: `environments.Environments`.
        steps: Integer, number of steps per environment and batch.
        discount: Float, discount factor per step.

    Attributes:
        scores: List of pairs, one per finished game: the number of steps done
            by then, of all environments together, and the game's score.
    """

    def __init__(self, environments, steps=5, discount=0.99):
        self.environments = environments
        self.discount = discount
        shape = (steps, environments.count)
        self._observations = np.empty(
            (*shape, *environments.observation_shape),
            environments.observation_dtype,
        )
        self._actions = np.empty(shape, "int64")
        self._rewards = np.empty(shape, "float32")
        self._values = np.empty(shape, "float32")
        self._ends = np.empty(shape, "bool")

    def reset(self, seed):
        """Starts new games.

        Args:
            seed: Integer or list of integers. The games and the actions depend
                only on the seed and the model.
        """
        seeds = np.random.SeedSequence(seed)
        self._random = np.random.default_rng(seeds)
        self._next = self.environments.reset(_environment_seed(seeds))
        self._steps_done = 0
        self.scores = []

    def collect(self, model):
        """Plays the steps of one batch.

        An episode that is cut off by a time limit has not really ended: the
        value of its last observation is added to its last reward.

        Args:
            model: Actor-critic.

        Returns:
            Tuple of the observations and a dictionary of the targets of
            `policy` and `value`, for `model.train_on_batch`. The next call
            overwrites the observations.
        """
        for step in range(len(self._rewards)):
            outputs = model.predict_on_batch(self._next)
            actions = sample_actions(outputs["policy"], self._random)
            self._observations[step] = self._next
            self._actions[step] = actions
            self._values[step] = outputs["value"][:, 0]
            played = self.environments.step(actions)
            self._rewards[step] = played.rewards
            self._ends[step] = played.terminated | played.truncated
            if played.truncated.any():
                last = model.predict_on_batch(played.last_observations)
                values = self.discount * last["value"][:, 0]
                self._rewards[step, played.truncated] += values
            self._steps_done += self.environments.count
            self.scores += [
                (self._steps_done, float(score))
                for score in played.scores[played.over]
            ]
            self._next = played.observations
        returns = n_step_returns(
            self._rewards,
            self._ends,
            model.predict_on_batch(self._next)["value"][:, 0],
            self.discount,
        )
        chosen = np.eye(self.environments.action_count, dtype="float32")[
            self._actions
        ]
        advantages = (returns - self._values)[..., None]
        return _joined(self._observations), {
            "policy": _joined(chosen * advantages),
            "value": _joined(returns[..., None]),
        }


def play_games(model, environments, seed):
    """Plays one whole game in each environment, with sampled actions.

    Args:
        model: Actor-critic, whose policy the actions are sampled from.
        environments: `environments.Environments`.
        seed: Integer or list of integers.

    Returns:
        Tuple of the scores of the games, of shape `(environments,)`, and a list
        of up to 2000 observations of the first game.
    """
    seeds = np.random.SeedSequence(seed)
    random = np.random.default_rng(seeds)
    observations = environments.reset(_environment_seed(seeds))
    scores = np.full(environments.count, np.nan)
    first_game = []
    while np.isnan(scores).any():
        if np.isnan(scores[0]) and len(first_game) < RECORDED_STEPS:
            first_game.append(observations[0].copy())
        logits = model.predict_on_batch(observations)["policy"]
        played = environments.step(sample_actions(logits, random))
        finished = played.over & np.isnan(scores)
        scores[finished] = played.scores[finished]
        observations = played.observations
    return scores, first_game


def sample_actions(logits, random):
    """Samples an action for each row of logits.

    Args:
        logits: Array of shape `(batch, actions)`.
        random: `np.random.Generator`.

    Returns:
        Integer array of shape `(batch,)`.
    """
    # The argmax after adding Gumbel noise is distributed as the softmax.
    return np.argmax(logits + random.gumbel(size=logits.shape), axis=-1)


def _environment_seed(seeds):
    # Each environment adds its index, and some accept only 31 bits.
    return int(seeds.generate_state(1)[0] >> 2)


def _joined(array):
    """Reshapes `(steps, environments, ...)` to `(batch, ...)`."""
    return array.reshape(-1, *array.shape[2:])
