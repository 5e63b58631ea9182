"""Constant channels, which replace coordinates in `remove_coordinates`."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_coordconv")
class ConstantChannels(keras.layers.Layer):
    """Layer that appends channels with the same value at each position.

    `remove_coordinates` replaces channels that contain coordinates with it.

    Args:
        count: Integer, number of channels.
        data_format: String, `"channels_last"` or `"channels_first"`.
        activation: Name of the activation or callable, or `None`. It is applied
            to all channels.
    """

    def __init__(self, count, data_format, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.data_format = data_format
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.values = self.add_weight(
            name="values",
            shape=(self.count,),
            initializer="zeros",
            trainable=False,
        )

    def call(self, inputs):
        rank = len(inputs.shape) - 2
        values = ops.convert_to_tensor(self.values)
        if self.data_format == "channels_first":
            values = ops.reshape(values, (-1, *[1] * rank))
        shape = list(ops.shape(inputs))
        shape[self._channel_axis] = self.count
        values = ops.broadcast_to(values, shape)
        return self.activation(
            ops.concatenate([inputs, values], axis=self._channel_axis)
        )

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        shape[self._channel_axis] += self.count
        return tuple(shape)

    @property
    def _channel_axis(self):
        return 1 if self.data_format == "channels_first" else -1

    def get_config(self):
        return {
            **super().get_config(),
            "count": self.count,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
        }
