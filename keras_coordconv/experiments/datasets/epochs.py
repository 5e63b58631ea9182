"""Order of the training examples, reshuffled every epoch.

The order depends only on the seed and the epoch, so a resumed run gets the same
orders as an uninterrupted one.
"""

import numpy as np
import tensorflow as tf


def spread_evenly(examples, limit_examples=None):
    """Picks up to `limit_examples` examples, evenly spaced.

    Args:
        examples: Array with the examples along the first axis.
        limit_examples: Integer, or `None` for all.

    Returns:
        Array of the chosen examples, in their order.
    """
    if limit_examples is None or limit_examples >= len(examples):
        return examples
    chosen = np.linspace(0, len(examples) - 1, limit_examples)
    return examples[chosen.astype(int)]


def permutation(count, seed, epoch):
    """Returns the order of the examples in one epoch.

    Args:
        count: Integer, number of examples.
        seed: Integer.
        epoch: Integer or integer tensor, counted from 0.

    Returns:
        Integer tensor of shape `(count,)`, the indices of the examples.
    """
    return tf.random.experimental.stateless_shuffle(
        tf.range(count, dtype=tf.int64),
        tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)]),
    )


def shuffled_numbers(count, seed, epochs_done=0):
    """Data set of example indices, in a new order each time it is iterated.

    Args:
        count: Integer, number of examples.
        seed: Integer.
        epochs_done: Integer, number of epochs that a resumed run has completed.

    Returns:
        A `tf.data.Dataset` of integers, one epoch long. Each iteration yields
        the next epoch; so does each iteration of a data set derived from it.
    """
    with tf.device("CPU"):
        following = tf.Variable(epochs_done, dtype=tf.int64, trainable=False)

    def begin(_):
        epoch = following.assign_add(1) - 1
        return tf.data.Dataset.from_tensor_slices(
            permutation(count, seed, epoch)
        )

    return (
        tf.data.Dataset.range(1)
        .flat_map(begin)
        .apply(tf.data.experimental.assert_cardinality(count))
    )


def batches(examples, batch_size, shuffle_seed=None, epochs_done=0):
    """Batches examples that are held in memory.

    Args:
        examples: Dictionary of arrays with the examples along the first axis.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order every epoch, or `None` to keep
            the order of the arrays.
        epochs_done: Integer, number of epochs that a resumed run has completed.

    Returns:
        A `tf.data.Dataset` of dictionaries with the keys of `examples`.
    """
    tensors = {name: tf.constant(array) for name, array in examples.items()}
    count = len(next(iter(examples.values())))
    if shuffle_seed is None:
        numbers = tf.data.Dataset.range(count)
    else:
        numbers = shuffled_numbers(count, shuffle_seed, epochs_done)
    return (
        numbers.batch(batch_size)
        .map(
            lambda chosen: {
                name: tf.gather(tensor, chosen)
                for name, tensor in tensors.items()
            }
        )
        .prefetch(tf.data.AUTOTUNE)
    )
