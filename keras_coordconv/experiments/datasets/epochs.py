"""Which examples a training sees, and in which order: a new one in each pass.

The order depends on the seed and the number of the pass alone: a training that
is resumed sees the orders that would have come next.
"""

import numpy as np
import tensorflow as tf


def spread_evenly(examples, limit_examples=None):
    """At most so many of the examples, from the first to the last.

    Args:
        examples: Array, the examples along the first axis.
        limit_examples: Integer, or `None` for all.
    """
    if limit_examples is None or limit_examples >= len(examples):
        return examples
    chosen = np.linspace(0, len(examples) - 1, limit_examples)
    return examples[chosen.astype(int)]


def permutation(count, seed, epoch):
    """Order of the examples in one pass.

    Args:
        count: Integer, how many examples there are.
        seed: Integer.
        number: Integer or integer tensor, the pass, from 0 on.

    Returns:
        Integer tensor of shape `(count,)`, the numbers of the examples.
    """
    return tf.random.experimental.stateless_shuffle(
        tf.range(count, dtype=tf.int64),
        tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)]),
    )


def shuffled_numbers(count, seed, epochs_done=0):
    """Numbers of the examples, each time in the order of the next pass.

    Args:
        count: Integer, how many examples there are.
        seed: Integer.
        epochs_done: Integer, number of passes that a resumed training has done.

    Returns:
        A `tf.data.Dataset` of integers, one pass long. Iterating it again gives
        the next pass; so does iterating a data set that is made from it.
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
    """Batches of examples that are in memory.

    Args:
        examples: Dictionary of arrays, the examples along the first axis.
        batch_size: Integer. The last batch may be smaller.
        shuffle_seed: Integer, for a new order in each pass, or `None` for that
            of the arrays.
        epochs_done: Integer, number of passes that a resumed training has done.

    Returns:
        A `tf.data.Dataset` of dictionaries as `examples`.
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
