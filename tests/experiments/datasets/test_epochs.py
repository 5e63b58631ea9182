"""The order of the examples, in each epoch and after resuming a run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.datasets import not_so_clevr

pytestmark = pytest.mark.tensorflow_backend


def read_epochs(dataset, count):
    return [[int(n) for n in dataset] for _ in range(count)]


def test_each_epoch_has_all_examples_in_a_new_order():
    dataset = epochs.shuffled_numbers(20, seed=1)
    assert len(dataset) == 20
    orders = read_epochs(dataset, 3)
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != list(range(20))
    assert read_epochs(epochs.shuffled_numbers(20, seed=1), 3) == orders
    assert read_epochs(epochs.shuffled_numbers(20, seed=2), 1) != orders[:1]


def test_orders_after_epochs_done():
    orders = read_epochs(epochs.shuffled_numbers(20, seed=1), 4)
    resumed = epochs.shuffled_numbers(20, seed=1, epochs_done=2)
    assert read_epochs(resumed, 2) == orders[2:]


@pytest.mark.parametrize("first_epoch", [0, 2])
def test_fit_reads_the_data_once_per_epoch(first_epoch):
    """Even if the last of several steps per execution is not full."""
    seen = []

    def record(location, pixel):
        def append(pixel):
            seen.extend(pixel.tolist())
            return pixel

        pixel = tf.numpy_function(append, [pixel], tf.int32)
        return location, tf.ensure_shape(pixel, (None,))

    dataset = not_so_clevr.dataset(
        batch_size=4, limit_examples=22, shuffle_seed=3, epochs_done=first_epoch
    ).map(lambda example: record(example["location"], example["pixel"]))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=4)
    model.fit(dataset, initial_epoch=first_epoch, epochs=3, verbose=0)
    pixels = not_so_clevr.load_arrays(limit_examples=22)["pixel"]
    expected = [
        pixels[number]
        for order in read_epochs(epochs.shuffled_numbers(22, seed=3), 3)
        for number in order
    ]
    np.testing.assert_array_equal(seen, expected[22 * first_epoch :])
