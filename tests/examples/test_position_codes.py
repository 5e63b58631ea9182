import csv
import pathlib

import numpy as np
import position_codes
import pytest

from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_small_run(scripts, held_out):
    metrics = position_codes.main(
        [
            *("--code", "axis", "--split", "band", "--held-out", held_out),
            *("--limit-examples", "24", "--epochs", "1", "--workdir", "run"),
            *("--dtype-policy", "mixed_bfloat16"),
        ]
    )
    assert results.read_metrics("run") == metrics
    assert metrics["parameters"] == 10_497
    with pathlib.Path("run/found.csv").open() as file:
        rows = np.array(
            [[int(x) for x in row.values()] for row in csv.DictReader(file)]
        )
    centers, found = rows[:, :2], rows[:, 2:4]
    held = not_so_clevr.subset_locations("band", held_out)
    assert len(centers) == 24
    assert {tuple(c) for c in centers} <= {tuple(c) for c in held}
    right = np.all(centers == found, axis=-1)
    assert metrics[f"{held_out}_accuracy"] == pytest.approx(right.mean())
    distances = np.sqrt(((centers - found) ** 2).sum(axis=-1))
    assert metrics[f"{held_out}_distance"] == pytest.approx(distances.mean())


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    flags = ("--code", "relative", "--limit-examples", 24, "--epochs", 4)
    _, rows = scripts.kill_and_resume("position_codes", *flags)
    assert len(rows) == 5
