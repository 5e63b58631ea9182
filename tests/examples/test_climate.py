"""Climate from relief, on an Earth made of bands."""

import earth_files
import numpy as np
import pytest

from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend
SMALL = ("--limit-examples", 16, "--batch-size", 8, "--epochs", 2)


@pytest.fixture
def earth(tmp_path, monkeypatch):
    folder = tmp_path / "packages"
    folder.mkdir()
    earth_files.write_packages(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(
    ("coordinates", "split"),
    [("world", "blocks"), ("latitude", "continent"), ("none", "blocks")],
)
def test_small_run(earth, scripts, coordinates, split):
    import climate

    flags = ("--coordinates", coordinates, "--split", split, "--workdir", "run")
    metrics = climate.main([str(flag) for flag in (*SMALL, *flags)])
    assert metrics == results.read_metrics("run")
    # Each latitude has one climate.
    assert metrics["test_latitude_accuracy"] == 1
    assert metrics["train_nearest_accuracy"] == 1
    assert 0 <= metrics["test_accuracy"] <= 1


@pytest.mark.slow
def test_killed_resumed_and_exported(earth, scripts, tmp_path):
    scripts.kill_and_resume(
        "climate", *SMALL, "--epochs", 4, "--export-dir", "served"
    )
    assert (tmp_path / "served" / "1").exists()


def test_mean_accuracy():
    import climate

    true = np.array([0, 0, 0, 1])
    found = np.array([0, 0, 1, 1])
    counted = np.array([True, True, True, True])
    assert climate.mean_accuracy(true, found, counted) == (2 / 3 + 1) / 2
    counted[3] = False
    assert climate.mean_accuracy(true, found, counted) == 2 / 3
