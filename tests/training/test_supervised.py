import numpy as np
import pytest

from keras_coordconv.training.callbacks import seconds_to_perfect


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
