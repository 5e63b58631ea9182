"""Key points, on screens of a fake game."""

import pathlib
import shutil
import sys

import fake_ale
import key_points
import numpy as np
import pytest

from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", "24", "--epochs", "2")


@pytest.fixture
def ale(tmp_path, monkeypatch):
    folder = tmp_path / "packages"
    folder.mkdir()
    shutil.copy(fake_ale.__file__, folder / "ale_py.py")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.setitem(sys.modules, "ale_py", fake_ale)


@pytest.mark.parametrize(
    ("held_out", "heads"),
    [
        pytest.param("test", key_points.HEADS, marks=pytest.mark.slow),
        ("validation", ("soft_argmax",)),
    ],
)
def test_small_run(ale, scripts, held_out, heads):
    flags = ("--held-out", held_out, "--heads", *heads, "--workdir", "run")
    metrics = key_points.main([*SMALL, *flags])
    assert metrics == results.read_metrics("run")
    for head in heads:
        assert 0 < metrics[f"{held_out}_{head}_ball_distance"] < 240
    figure = pathlib.Path("run/figures/key_points.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    scripts.load_trained("run")


@pytest.mark.slow
def test_killed_resumed_and_plotted(ale, scripts):
    flags = ("--limit-examples", 24, "--epochs", 4)
    heads = ("--heads", "soft_argmax", "dense")
    _, history = scripts.kill_and_resume("key_points", *flags, *heads)
    assert len(history) == 5
    printed = scripts.run("plot", "key_points", "run", "whole")
    assert (
        "| quadrant | ball | player | opponent | ball, difference |" in printed
    )
    assert "| `dense` |" in printed


def test_models_differ_in_how_they_know_the_position():
    """A ball that moves by a stride: what moves with it, and what does not."""
    model = key_points.build_model(key_points.HEADS)
    image = np.zeros((2, 80, 80, 1), "float32")
    image[0, 40:42, 40] = 20
    image[1, 40:42, 44] = 20
    first, second = (
        {
            name: np.array(points)[number]
            for name, points in model(image).items()
        }
        for number in range(2)
    )
    # Pooling does not see where it is; the others do.
    np.testing.assert_allclose(first["pooling"], second["pooling"], atol=1e-6)
    for name in key_points.HEADS:
        if name != "pooling":
            assert np.abs(first[name] - second[name]).max() > 1e-4


def test_distances_by_hand():
    true = np.zeros((2, 3, 2))
    found = np.zeros((2, 3, 2))
    found[0, 0] = 3 / 160, 4 / 160
    found[:, 2, 0] = 1 / 16
    distances = key_points.mean_distances(true, found)
    assert distances == pytest.approx(
        {"ball": 2.5, "player": 0, "opponent": 10}, rel=1e-5
    )
