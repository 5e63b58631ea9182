"""Games, started as a user would start them, for a few steps."""

import csv
import json
import pathlib

import gymnasium
import numpy as np
import pytest
from PIL import Image

from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend

CARTPOLE = ("--game", "CartPole-v1", "--layer", "dense", "--test-games", "3")


class Failing(gymnasium.Env):
    """Ends after three steps; fails where many have been taken."""

    observation_space = gymnasium.spaces.Box(0, 99, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 3
        return np.array([self.left], "float32"), {}

    def step(self, action):
        self.left -= 1
        self.steps += 1
        if self.steps == 15:
            raise OSError("no emulator")
        return np.array([1.0], "float32"), 1.0, self.left == 0, False, {}


def read_games(folder):
    with pathlib.Path(folder, "games.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("layer", ["coordconv", "conv"])
def test_small_run(scripts, layer):
    import atari_a2c

    metrics = atari_a2c.main(
        [
            *("--game", "Breakout", "--layer", layer, "--workdir", "run"),
            *("--epochs", "1", "--steps-per-epoch", "2", "--test-games", "2"),
            *("--dtype-policy", "mixed_bfloat16"),
        ]
    )
    assert results.read_metrics("run") == metrics
    # Four actions.
    others = 32_832 + 36_928 + 1_606_144 + 4 * 513 + 513
    first = 64 * 4 * 32 + 32 + 64 * 2 * 32 * (layer == "coordconv")
    assert metrics["parameters"] == first + others
    assert metrics["frames"] == 2 * 16 * 5 * 4
    assert metrics["frames_per_second"] > 0
    assert metrics["test_return"] >= 0
    assert "train_return" not in metrics  # No game was over.
    with Image.open("run/figures/game.gif") as image:
        assert image.size == (168, 168)
        assert image.n_frames > 20
    figure = pathlib.Path("run/figures/returns.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    flags = (*CARTPOLE, "--epochs", 4, "--steps-per-epoch", 12, "--seed", 3)
    printed, rows = scripts.kill_and_resume("atari_a2c", *flags)
    assert "epoch 4/4: steps 3840, return " in printed
    assert "epoch 2/4" not in printed
    assert len(rows) == 5
    games = read_games("run")
    assert games == read_games("whole")
    assert [g["epoch"] for g in games] == sorted(g["epoch"] for g in games)
    returns = [float(game["return"]) for game in games]
    metrics = json.loads(pathlib.Path("run/metrics.json").read_text())
    assert metrics["train_return"] == pytest.approx(np.mean(returns[-100:]))
    assert all(int(game["steps"]) % 16 == 0 for game in games)


def test_environment_that_fails(scripts, monkeypatch, capsys):
    import atari_a2c

    registry = dict(gymnasium.registry)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", registry)
    gymnasium.register("Failing-v0", Failing)
    flags = ("--game", "Failing-v0", "--layer", "dense", "--workdir", "run")
    with pytest.raises(SystemExit, match="2"):
        atari_a2c.main([*flags, "--epochs", "3", "--steps-per-epoch", "2"])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: The environment Failing-v0 failed while ")
    assert "OSError('no emulator')" in line
    # The first epoch is whole.
    assert [path.name for path in pathlib.Path("run").glob("ch*")] == [
        "checkpoint-1"
    ]
    assert len(scripts.read_history("run")) == 2


def test_export(scripts, capsys):
    import atari_a2c
    import tensorflow as tf

    atari_a2c.main(
        [
            *CARTPOLE,
            *("--epochs", "1", "--steps-per-epoch", "2"),
            *("--export-dir", "policy"),
        ]
    )
    assert "exported: policy/1" in capsys.readouterr().out
    served = tf.saved_model.load("policy/1").signatures["serving_default"]
    answers = served(observation=tf.zeros((5, 4)))
    np.testing.assert_allclose(
        np.sum(answers["probabilities"], axis=1), np.ones(5), atol=1e-6
    )
    assert answers["action"].shape == answers["value"].shape == (5,)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--game", "Seaquset"), "Received: Seaquset"),
        (("--game", "CartPole-v1"), "with observations of shape (4,)"),
        (("--layer", "dense"), "with observations of shape (4, 84, 84)"),
        (("--limit-examples", "9"), "--limit-examples has no effect here"),
    ],
)
def test_bad_arguments(scripts, capsys, flags, message):
    import atari_a2c

    with pytest.raises(SystemExit, match="2"):
        atari_a2c.main(flags)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(pathlib.Path().iterdir())


@pytest.mark.long
def test_learns_to_balance(scripts):
    import atari_a2c

    metrics = atari_a2c.main(["--game", "CartPole-v1", "--layer", "dense"])
    assert metrics["test_return"] >= 475
