"""Addition that broadcasts as NumPy does, on every backend."""

from keras import ops


def add(inputs, addend):
    """Sum of two tensors, or of a tensor and a variable.

    `keras.ops.add` guesses on TensorFlow: it takes an addend with one axis
    longer than 1 for a bias, also where that axis is not the channels'.
    """
    return inputs + ops.convert_to_tensor(addend)
