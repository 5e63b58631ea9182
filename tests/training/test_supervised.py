import math

import numpy as np
import pytest

from keras_coordconv.training.callbacks import seconds_to_perfect
from keras_coordconv.training.supervised import warmup_cosine


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.0),
        (5, 0.5),
        (10, 1.0),
        (35, (1 + math.cos(math.pi / 4)) / 2),
        (60, 0.5),
        (110, 0.0),
    ],
)
def test_warmup_then_half_a_cosine(step, expected):
    rate = warmup_cosine(1.0, total_steps=110, warmup_steps=10)(step)
    assert float(rate) == pytest.approx(expected, abs=1e-6)


def test_cosine_without_warmup():
    schedule = warmup_cosine(2.0, total_steps=100)
    rates = [float(schedule(step)) for step in (0, 50, 100)]
    assert rates == pytest.approx([2.0, 1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("name", ["val_accuracy", "val_pixel_accuracy"])
def test_seconds_to_perfect_asks_for_both_sets(name):
    def is_perfect(accuracy):
        return accuracy == 1

    rows = [
        {"seconds": 1, name: 0.9, "train_accuracy": np.nan},
        {"seconds": 2, name: 1.0, "train_accuracy": 0.9},
        {"seconds": 3, name: 1.0, "train_accuracy": 1.0},
        {"seconds": 4, name: 1.0, "train_accuracy": 1.0},
    ]
    assert seconds_to_perfect(rows, "accuracy", is_perfect) == 3
    assert seconds_to_perfect(rows[:2], "accuracy", is_perfect) is None
