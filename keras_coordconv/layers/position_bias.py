"""Bias per position, which replaces coordinates in `fold_coordinates`."""

import keras

from keras_coordconv.layers.addition import add


@keras.saving.register_keras_serializable(package="keras_coordconv")
class PositionBias(keras.layers.Layer):
    """Layer that adds a constant to each position and channel.

    `fold_coordinates` replaces the coordinates of a CoordConv by it.

    Args:
        activation: Name of the activation or callable, or `None`. It is applied
            to the sum.

    Raises:
        ValueError: if the input's shape, apart from the batch, is unknown.
    """

    def __init__(self, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                "The input of a folded CoordConv must have a known size. "
                f"Received: input_shape={tuple(input_shape)}. Build the model "
                "for one size, with keras.Input((height, width, channels))."
            )
        self.bias = self.add_weight(
            name="bias",
            shape=(1, *input_shape[1:]),
            initializer="zeros",
            trainable=False,
        )

    def call(self, inputs):
        return self.activation(add(inputs, self.bias))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config["activation"] = keras.activations.serialize(self.activation)
        return config
