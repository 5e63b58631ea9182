"""Environments of Gymnasium and of Atari, as the agent sees them."""

import sys

import gymnasium
import keras
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from keras_coordconv.experiments.reinforcement import a2c
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)


class Countdown(gymnasium.Env):
    """Ends after `seed` steps, or at its time limit."""

    observation_space = gymnasium.spaces.Box(0, 99, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.left = seed if seed is not None else 3
        return np.array([self.left], "float32"), {}

    def step(self, action):
        if action == 1:
            raise OSError("no emulator")
        self.left -= 1
        observation = np.array([self.left], "float32")
        return observation, 2.0, self.left == 0, False, {}


class FloatImages(Countdown):
    observation_space = gymnasium.spaces.Box(0, 1, (84, 84, 3), np.float32)


@pytest.fixture(autouse=True)
def _register(monkeypatch):
    monkeypatch.setattr(
        gymnasium.envs.registration, "registry", dict(gymnasium.registry)
    )
    gymnasium.register("Countdown-v0", Countdown, max_episode_steps=4)
    gymnasium.register("FloatImages-v0", FloatImages)


def test_ends_and_scores():
    environments = make_environments("Countdown-v0", count=3)
    assert environments.observation_shape == (1,)
    assert environments.action_count == 2
    assert environments.reset(seed=2)[:, 0].tolist() == [2, 3, 4]
    # Environments of 2, 3 and 4 steps; the next games have 3.
    steps = [environments.step(np.zeros(3, "int64")) for _ in range(5)]
    assert [step.observations[:, 0].tolist() for step in steps] == [
        [1, 2, 3],
        [3, 1, 2],
        [2, 3, 1],
        [1, 2, 3],
        [3, 1, 2],
    ]
    assert [step.over.tolist() for step in steps] == [
        [False, False, False],
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [True, False, False],
    ]
    scores = [step.scores[step.over].tolist() for step in steps]
    assert scores == [[], [4], [6], [8], [6]]
    assert all((step.rewards == 2).all() for step in steps)


def test_last_observation_at_the_time_limit():
    environments = make_environments("Countdown-v0", count=2)
    environments.reset(seed=5)
    for _ in range(4):
        step = environments.step(np.zeros(2, "int64"))
    assert step.truncated.all() and not step.terminated.any()
    assert step.over.all()
    assert step.observations[:, 0].tolist() == [3, 3]
    assert step.last_observations[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 6])
def test_returns_at_ends_and_time_limits(steps, monkeypatch):
    """An end by itself counts, also in the step of the time limit, the 4th."""
    environments = make_environments("Countdown-v0", count=1)
    rollouts = a2c.Rollouts(environments, steps=min(steps, 4), discount=0.5)
    monkeypatch.setattr(a2c, "_environment_seed", lambda seeds: steps)
    rollouts.reset(seed=0)
    inputs = keras.Input((1,))
    outputs = {
        "policy": keras.ops.concatenate([0 * inputs + 99, 0 * inputs], -1),
        "value": 0 * inputs + 100,
    }
    _, targets = rollouts.collect(keras.Model(inputs, outputs))
    following = 0 if steps <= 4 else 100  # 2 for each step.
    expected = []
    for _ in range(min(steps, 4)):
        following = 2 + 0.5 * following
        expected.insert(0, following)
    np.testing.assert_allclose(targets["value"][:, 0], expected)


class OtherActions(Countdown):
    """Shows the last action."""

    observation_space = gymnasium.spaces.Box(-1, 99, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(3, start=-1)

    def step(self, action):
        assert self.action_space.contains(action)
        _, *others = super().step(0)
        return np.array([action], "float32"), *others


def test_first_action_is_the_environments():
    gymnasium.register("OtherActions-v0", OtherActions)
    environments = make_environments("OtherActions-v0", count=1)
    assert environments.action_count == 3
    environments.reset(seed=9)
    for action in range(3):
        step = environments.step(np.array([action]))
        assert step.observations.tolist() == [[action - 1]]


def test_atari_lives_and_games():
    """Against a vector environment without lives."""
    environments = make_environments("Breakout", count=3)
    assert environments.observation_shape == (4, 84, 84)
    games = AtariVectorEnv(
        "breakout", 3, autoreset_mode="SameStep", reward_clipping=False
    )
    seen, _ = games.reset(seed=4)
    np.testing.assert_array_equal(environments.reset(seed=4), seen)
    random = np.random.default_rng(0)
    totals, lives_lost, finished = np.zeros(3), 0, 0
    for _ in range(300):
        actions = random.integers(4, size=3)
        step = environments.step(actions)
        seen, rewards, terminated, _, _ = games.step(actions)
        np.testing.assert_array_equal(step.observations, seen)
        np.testing.assert_array_equal(step.over, terminated)
        np.testing.assert_array_equal(step.rewards, np.sign(rewards))
        totals += rewards
        np.testing.assert_array_equal(step.scores, totals)
        totals[terminated] = 0
        lives_lost += step.terminated.sum()
        finished += terminated.sum()
    # A game has five lives; some games are still running.
    assert finished >= 2
    assert 5 * finished <= lives_lost < 5 * (finished + 3)
    newest = environments.newest_image(step.observations[0])
    np.testing.assert_array_equal(newest, seen[0, 3])


def test_same_seed_same_game():
    environments = make_environments("SpaceInvaders", count=2)
    games = []
    for seed in (1, 2, 1):
        first = environments.reset(seed=seed)
        steps = [environments.step(np.array([1, 4])) for _ in range(100)]
        games.append([first, *(step.observations for step in steps)])
        # An invader is worth at least 5 points.
        assert max(step.rewards.max() for step in steps) == 1
        assert steps[-1].scores.max() >= 5
    np.testing.assert_array_equal(games[0], games[2])
    assert (np.array(games[0]) != games[1]).any()


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("Seaquset", r"Received: Seaquset \(.*doesn't exist"),
        ("Pendulum-v1", "must be `Discrete`.*Received: Pendulum-v1"),
        ("FloatImages-v0", "uint8 images. Received: FloatImages-v0"),
        ("Blackjack-v1", "must be vectors.* Received: Blackjack-v1"),
    ],
)
def test_unplayable_games(game, message):
    with pytest.raises(ValueError, match=message):
        make_environments(game, count=2)


def test_failing_environment():
    environments = make_environments("Countdown-v0", count=2)
    environments.reset(seed=5)
    with pytest.raises(
        RuntimeError, match=r"Countdown-v0 failed .*OSError.*emulator"
    ):
        environments.step(np.array([0, 1]))


@pytest.mark.parametrize("package", ["gymnasium", "ale_py.roms"])
def test_missing_packages(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"coordconv-keras\[atari\]"):
        make_environments("Seaquest", count=1)
