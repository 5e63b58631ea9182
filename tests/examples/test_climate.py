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
    ("names", "split"),
    [
        (("none", "world"), "blocks"),
        (("wide", "latitude", "tensor", "periodic", "fourier"), "continent"),
    ],
)
def test_small_run(earth, scripts, names, split):
    import climate

    flags = ("--coordinates", *names, "--split", split, "--workdir", "run")
    metrics = climate.main([str(flag) for flag in (*SMALL, *flags)])
    assert metrics == results.read_metrics("run")
    # Each latitude has one climate.
    assert metrics["test_same_latitude_accuracy"] == 1
    assert metrics["train_nearest_pixel_accuracy"] == 1
    for name in names:
        assert 0 <= metrics[f"test_{name}_accuracy"] <= 1


def test_predictions_are_where_the_labels_are():
    """A network sees the pixel that it predicts, whatever its margin."""
    import climate

    size = (24, 36)
    for names in (["world"], ["none", "wide"]):
        model = climate.build_model(names)
        margin = climate.margin_of(names)
        relief = np.zeros((1, *(n + 2 * margin for n in size), 3), "float32")
        affine = np.eye(2, 3, dtype="float32")[None] / 100
        before = model({"relief": relief, "affine": affine})
        relief[:, margin + 10, margin + 20] = 1
        after = model({"relief": relief, "affine": affine})
        name = names[-1]
        changed = np.argwhere(
            np.any(np.array(before[name]) != np.array(after[name]), axis=-1)
        )[:, 1:]
        assert before[name].shape == (1, *size, 5)
        # The window of a pixel of a coarse view begins at a multiple of 4.
        allowed = 3 if name == "wide" else 0
        center = (changed.min(axis=0) + changed.max(axis=0)) / 2
        np.testing.assert_allclose(center, (10, 20), atol=allowed)


@pytest.mark.slow
def test_killed_resumed_and_exported(earth, scripts, tmp_path):
    scripts.kill_and_resume(
        "climate", *SMALL, "--epochs", 4, "--export-dir", "served"
    )
    assert (tmp_path / "served" / "1").exists()


def test_accuracies():
    import climate

    true = np.array([0, 0, 0, 1])
    found = np.array([0, 0, 1, 1])
    areas = np.array([1.0, 1.0, 4.0, 1.0])
    assert climate.accuracy(true, found, areas) == 3 / 7
    assert climate.mean_accuracy(true, found, areas) == (2 / 6 + 1) / 2
    areas[3] = 0
    assert climate.mean_accuracy(true, found, areas) == 2 / 6
