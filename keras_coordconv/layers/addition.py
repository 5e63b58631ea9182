"""Addition that broadcasts as NumPy does, on every backend."""

from keras import ops


def add(inputs, addend):
    """Adds two tensors, or a tensor and a variable.

    On TensorFlow, `keras.ops.add` treats an addend with a single axis longer
    than 1 as a bias, even if that axis is not the channel axis.
    """
    return inputs + ops.convert_to_tensor(addend)
