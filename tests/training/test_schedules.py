"""The learning rates, at steps worked out by hand."""

import math

import keras
import pytest

from keras_coordconv.training.schedules import WarmupSteps
from keras_coordconv.training.schedules import warmup_cosine


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


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1, 0.1), (4, 0.4), (29, 0.4), (30, 0.04), (90, 0.0004)],
)
def test_warmup_then_a_tenth_at_each_boundary(step, expected):
    schedule = WarmupSteps(0.4, boundaries=[30, 60, 80], warmup_steps=4)
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(schedule)
    )
    for rate in (schedule(step), restored(step)):
        assert float(rate) == pytest.approx(expected)


def test_steps_without_warmup():
    schedule = WarmupSteps(2.0, boundaries=[3])
    assert [float(schedule(step)) for step in (0, 2, 3)] == pytest.approx(
        [2.0, 2.0, 0.2]
    )
