import importlib.util
import json
import pathlib

import benchmark_atari
import pytest

pytestmark = pytest.mark.tensorflow_backend


def test_small_run(scripts, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "stable_baselines3" else find(name),
    )
    flags = ("--game", "Breakout", "--batches", "1", "--turns", "1")
    policy = ("--dtype-policy", "mixed_bfloat16")
    results = benchmark_atari.main([*flags, *policy])
    path = pathlib.Path("runs/benchmark_atari/results.json")
    assert json.loads(path.read_text()) == results
    rows = results["rows"]
    assert [row["learner"] for row in rows] == ["coordconv", "conv"]
    for row in rows:
        assert row["frames_per_second"] > 0
        shares = [row[f"{part}_share"] for part in ("environments", "policy")]
        assert min(shares) > 0
        assert 0.9 < sum(shares) + row["update_share"] < 1


def test_stopwatch():
    class Counter:
        step = 2

        def add(self, number, times=1):
            return number + self.step * times

    watched = benchmark_atari.Stopwatch(Counter())
    assert watched.step == 2
    assert watched.add(1) == 3
    first = watched.seconds["add"]
    assert watched.add(1, times=3) == 7
    assert watched.seconds["add"] > first > 0
