"""A2C against NumPy, on environments with three positions."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_coordconv.experiments.reinforcement import a2c
from keras_coordconv.experiments.reinforcement.environments import Step

POSITIONS = 3
ACTIONS = 2


class Walks:
    """Two walks on three positions, with ends at known steps."""

    count = 2
    action_count = ACTIONS
    observation_shape = (POSITIONS,)
    observation_dtype = np.dtype("float32")
    # From the first step on, repeated every four steps.
    terminated = ([0, 0], [1, 0], [1, 0], [0, 0])
    truncated = ([0, 0], [0, 0], [0, 1], [0, 0])

    def reset(self, seed):
        self.seed = seed
        self.positions, self.totals = (
            np.array([0, seed % POSITIONS]),
            np.zeros(2),
        )
        self.actions, self.steps = [], 0
        return self.observe()

    def observe(self):
        return np.eye(POSITIONS, dtype="float32")[self.positions]

    def step(self, actions):
        self.actions.append(actions)
        self.positions = (self.positions + actions + 1) % POSITIONS
        rewards = self.positions - 0.5 * actions
        self.totals = self.totals + rewards
        terminated, truncated = (
            np.array(ends[self.steps % 4], "bool")
            for ends in (self.terminated, self.truncated)
        )
        self.steps += 1
        over, scores = terminated | truncated, self.totals
        last_observations = self.observe()[truncated]
        self.positions = np.where(over, 0, self.positions)
        self.totals = np.where(over, 0, scores)
        return Step(
            self.observe(),
            rewards,
            terminated,
            truncated,
            last_observations,
            over,
            scores,
        )


def linear_model(policy, value):
    """Actor-critic that looks up its outputs in tables, a row per position."""
    position = keras.Input((POSITIONS,))
    outputs = {
        "policy": layers.Dense(ACTIONS, use_bias=False, name="policy")(
            position
        ),
        "value": layers.Dense(1, use_bias=False, name="value")(position),
    }
    model = keras.Model(position, outputs)
    model.get_layer("policy").set_weights([policy])
    model.get_layer("value").set_weights([value])
    return model


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_one_training_step_by_hand():
    random = np.random.default_rng(1)
    policy = random.normal(size=(POSITIONS, ACTIONS))
    value = random.normal(size=(POSITIONS, 1))
    discount, entropy_weight, rate = 0.9, 0.05, 0.3
    model = linear_model(policy, value)
    a2c.compile_model(model, rate, entropy_weight)
    environments = Walks()
    rollouts = a2c.Rollouts(environments, steps=4, discount=discount)
    rollouts.reset(seed=5)
    observations, targets = rollouts.collect(model)
    logs = model.train_on_batch(observations, targets, return_dict=True)

    # The same two walks again, one after the other.
    gradients = np.zeros_like(policy), np.zeros_like(value)
    losses = np.zeros(3)
    for walk in range(2):
        position = [0, environments.seed % POSITIONS][walk]
        rewards, visited, ends = [], [], []
        for step in range(4):
            action = environments.actions[step][walk]
            visited.append((position, action))
            position = (position + action + 1) % POSITIONS
            rewards.append(position - 0.5 * action)
            if Walks.truncated[step][walk]:
                rewards[-1] += discount * value[position, 0]
            ends.append(
                Walks.truncated[step][walk] or Walks.terminated[step][walk]
            )
            position = 0 if ends[-1] else position
        for step, (at, action) in enumerate(visited):
            earned, factor = 0.0, 1.0
            for later in range(step, 4):
                earned += factor * rewards[later]
                factor *= discount
                if ends[later]:
                    break
            else:
                earned += factor * value[position, 0]
            probabilities = softmax(policy[at])
            logarithms = np.log(probabilities)
            advantage = earned - value[at, 0]
            entropy = -(probabilities * logarithms).sum()
            gradients[0][at] += (
                advantage * (probabilities - np.eye(ACTIONS)[action])
                + entropy_weight * probabilities * (logarithms + entropy)
            ) / 8
            gradients[1][at] += 0.5 * 2 * (value[at] - earned) / 8
            losses += (
                -advantage * logarithms[action] - entropy_weight * entropy,
                advantage**2,
                entropy,
            )
    losses /= 8
    assert logs["policy_loss"] == pytest.approx(losses[0], rel=1e-5)
    assert logs["value_loss"] == pytest.approx(losses[1], rel=1e-5)
    assert logs["policy_entropy"] == pytest.approx(losses[2], rel=1e-5)
    assert logs["loss"] == pytest.approx(losses[0] + losses[1] / 2, rel=1e-5)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    assert norm > 0.5
    for name, before, gradient in zip(
        ("policy", "value"), (policy, value), gradients, strict=True
    ):
        gradient = gradient * 0.5 / norm
        square = 0.99 + 0.01 * gradient**2
        expected = before - rate * gradient / np.sqrt(square + 1e-5)
        (found,) = model.get_layer(name).get_weights()
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rollouts_are_consecutive():
    model = linear_model(
        np.zeros((POSITIONS, ACTIONS)), np.zeros((POSITIONS, 1))
    )
    environments = Walks()
    whole = a2c.Rollouts(environments, steps=8, discount=0.0)
    whole.reset(seed=[2, 3])
    observations, targets = whole.collect(model)
    expected = observations.copy(), targets["value"]
    scores = whole.scores
    halves = a2c.Rollouts(environments, steps=4, discount=0.0)
    halves.reset(seed=[2, 3])
    parts = []
    for _ in range(2):
        observations, targets = halves.collect(model)
        parts.append((observations.copy(), targets["value"]))
    for whole_array, *half_arrays in zip(expected, *parts, strict=True):
        np.testing.assert_array_equal(whole_array, np.concatenate(half_arrays))
    assert halves.scores == scores
    # After 2 and 3 steps of each walk, and again after 6 and 7.
    assert [steps for steps, _ in scores] == [4, 6, 6, 12, 14, 14]
    halves.reset(seed=[2, 4])
    observations, _ = halves.collect(model)
    assert (observations != parts[0][0]).any()


def test_scores_of_whole_games():
    model = linear_model(
        np.zeros((POSITIONS, ACTIONS)), np.zeros((POSITIONS, 1))
    )
    environments = Walks()
    scores, first_game = a2c.play_games(model, environments, seed=0)
    # The first game ends after two steps, the second one after three. So does
    # the game that follows the first one.
    assert len(first_game) == 2
    assert environments.steps == 3
    for walk, length in ((0, 2), (1, 3)):
        position, expected = [0, environments.seed % POSITIONS][walk], 0
        for step in range(length):
            action = environments.actions[step][walk]
            position = (position + action + 1) % POSITIONS
            expected += position - 0.5 * action
        assert scores[walk] == expected


def test_actions_have_the_probabilities_of_the_policy():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    actions = a2c.sample_actions(
        np.repeat(np.log(probabilities), 20_000, axis=0),
        np.random.default_rng(0),
    ).reshape(2, -1)
    shares = np.eye(3)[actions].mean(axis=1)
    # The tolerance is more than four standard deviations.
    np.testing.assert_allclose(shares, probabilities, atol=0.015)


def test_returns():
    random = np.random.default_rng(0)
    rewards, ends = random.normal(size=(6, 2)), random.random((6, 2)) < 0.3
    assert ends.any(axis=0).all()
    next_values = random.normal(size=2)
    expected = np.zeros((6, 2))
    for first in range(6):
        for column in range(2):
            for later in range(first, 6):
                factor = 0.9 ** (later - first)
                expected[first, column] += factor * rewards[later, column]
                if ends[later, column]:
                    break
            else:
                factor = 0.9 ** (6 - first)
                expected[first, column] += factor * next_values[column]
    found = a2c.n_step_returns(rewards, ends, next_values, 0.9)
    np.testing.assert_allclose(found, expected)


def test_policy_loss_is_saved():
    loss = a2c.PolicyLoss(0.25)
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    targets, logits = ops.eye(2), ops.array([[1.0, 2.0], [0.0, -1.0]])
    assert float(restored(targets, logits)) == float(loss(targets, logits))
    assert restored.entropy_weight == 0.25


class Guesses(Walks):
    """The right action is the index of the position, of which there are two."""

    def reset(self, seed):
        self.random = np.random.default_rng(seed)
        return super().reset(seed)

    def step(self, actions):
        rewards = (actions == self.positions).astype("float32")
        self.positions = self.random.integers(2, size=2)
        none = np.zeros(2, "bool")
        played = super().step(actions)
        self.positions = self.random.integers(2, size=2)
        return played._replace(
            observations=self.observe(),
            rewards=rewards,
            terminated=~none,
            truncated=none,
        )


def test_learns():
    model = linear_model(
        np.zeros((POSITIONS, ACTIONS)), np.zeros((POSITIONS, 1))
    )
    a2c.compile_model(model, learning_rate=0.3)
    rollouts = a2c.Rollouts(Guesses(), steps=5)
    rollouts.reset(seed=0)
    for _ in range(150):
        model.train_on_batch(*rollouts.collect(model))
    outputs = model.predict_on_batch(np.eye(POSITIONS, dtype="float32")[:2])
    right = softmax(outputs["policy"])[[0, 1], [0, 1]]
    assert right.min() > 0.9
    np.testing.assert_allclose(outputs["value"], 1, atol=0.2)
