"""The script that compares the codes of position, on runs written here."""

import json
import pathlib

import numpy as np
import plot_position_codes
import pytest
from scipy import stats

pytestmark = pytest.mark.tensorflow_backend

SCORES = {
    "coordinates": [1.0, 0.9, 1.0, 0.95, 1.0],
    "axis": [0.5, 0.75, 0.25, 0.5, 0.5],
}


def write_runs():
    for code, accuracies in SCORES.items():
        for seed, accuracy in enumerate(accuracies):
            folder = pathlib.Path(f"{code}_seed{seed}")
            folder.mkdir()
            args = {"code": code, "split": "band", "seed": seed}
            metrics = {
                "train_accuracy": 1.0,
                "test_accuracy": accuracy,
                "test_distance": 2.0,
            }
            (folder / "args.json").write_text(json.dumps(args))
            (folder / "metrics.json").write_text(json.dumps(metrics))
            (folder / "found.csv").write_text(
                "x,y,found_x,found_y\n45,4,45,4\n45,5,44,5\n"
            )


def test_figure_and_tables(scripts):
    write_runs()
    runs = [path.name for path in pathlib.Path().iterdir()]
    printed = scripts.run("plot_position_codes", *sorted(runs))
    assert "| `coordinates` | 97.0 ± 5.6 |" in printed
    assert "| `axis` | 50.0 ± 21.9 |" in printed
    assert "| `axis` | 2.00 |" in printed
    assert "| `coordinates` | +0.0 ±" in printed
    assert printed.endswith("written: position_codes.png\n")
    assert pathlib.Path("position_codes.png").stat().st_size > 1000
    run = plot_position_codes.read_run("axis_seed1")
    assert run["found"].tolist() == [True, False]


def test_intervals_are_scipy_s():
    samples = list(SCORES.values())
    mean, width = plot_position_codes.mean_interval(samples[1])
    interval = stats.ttest_1samp(samples[1], 0).confidence_interval()
    np.testing.assert_allclose([mean - width, mean + width], interval)
    difference, width = plot_position_codes.difference_interval(*samples)
    welch = stats.ttest_ind(*samples, equal_var=False).confidence_interval()
    np.testing.assert_allclose([difference - width, difference + width], welch)
    assert plot_position_codes.difference_interval([1, 1], [3, 3]) == (-2, 0)
