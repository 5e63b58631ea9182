"""The learning rates, at steps worked out by hand."""

import argparse
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_coordconv.experiments.training.optimizers import RMSpropTFStyle
from keras_coordconv.experiments.training.optimizers import WarmupSteps
from keras_coordconv.experiments.training.optimizers import paper_adam
from keras_coordconv.experiments.training.optimizers import warmup_cosine


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


def test_paper_adam():
    args = argparse.Namespace(
        learning_rate=0.5, epochs=4, warmup_epochs=0.5, schedule="cosine"
    )
    optimizer = paper_adam(args, steps_per_epoch=10)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 40)]
    assert rates == pytest.approx([0.0, 0.5, 0.0], abs=1e-6)
    args = argparse.Namespace(
        learning_rate=0.5, epochs=1000, warmup_epochs=0.0, schedule="steps"
    )
    schedule = paper_adam(args, steps_per_epoch=10)._learning_rate
    rates = [float(schedule(step)) for step in (0, 1999, 2000, 9999)]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.00005])
    assert (optimizer.beta_1, optimizer.beta_2) == (0.9, 0.99)
    assert optimizer.epsilon == 1e-8


def test_rmsprop_from_ones():
    variables = [keras.Variable([3.0, -1.0]), keras.Variable([[2.0]])]
    optimizer = RMSpropTFStyle(0.1, rho=0.9, epsilon=0.01, global_clipnorm=0.5)
    optimizer.build(variables)
    values, squares = [3.0, -1.0, 2.0], np.ones(3)
    for gradients in ([0.1, 0.2, 0.0], [3.0, 0.0, -4.0]):
        first, second = np.split(np.array(gradients, "float32"), [2])
        optimizer.apply([first, second.reshape(1, 1)])
        # The second gradient has the norm 5, and is cut to 0.5.
        clipped = np.array(gradients) * min(1, 0.5 / np.linalg.norm(gradients))
        squares = 0.9 * squares + 0.1 * clipped**2
        values = values - 0.1 * clipped / np.sqrt(squares + 0.01)
    found = [
        *ops.convert_to_numpy(variables[0]),
        ops.convert_to_numpy(variables[1]).item(),
    ]
    np.testing.assert_allclose(found, values, rtol=1e-6)
    assert isinstance(
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
        RMSpropTFStyle,
    )
