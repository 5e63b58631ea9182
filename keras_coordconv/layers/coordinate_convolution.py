"""Turns a Keras convolution into a CoordConv: the engine of all families."""

import keras
from keras import ops

from keras_coordconv.layers.coordinate_layer import CoordinateLayer


class CoordinateConvolution(CoordinateLayer):
    """Mixin that gives a Keras convolution the coordinates of its input.

    The weights are those of "append the coordinates, then convolve", with the
    coordinates' slice last on the kernel's input axis. A convolution is linear,
    so

        conv([x, p], [W_x, W_p]) = conv(x, W_x) + conv(p, W_p)

    and since the coordinates `p` are the same for the whole batch, the second
    term is one small convolution over a batch of one. The bias goes into that
    small term, so that one addition of the size of the output does for both.

    A family says how it convolves (`convolve`) and how its weights divide into
    those of the input and those of the coordinates (`split_weights`).
    """

    groups = 1

    def build(self, input_shape):
        channels = self.input_channels(input_shape)
        if channels % self.groups != 0:
            raise ValueError(
                "The number of input channels must be evenly divisible by "
                f"the number of groups. Received: groups={self.groups} and "
                f"input_shape={tuple(input_shape)}"
            )
        super().build(self.widened_shape(input_shape))
        self.input_spec = self.input_spec_for(channels)

    def widened_shape(self, input_shape):
        """Shape of the input with the coordinates that every group sees."""
        shape = list(input_shape)
        shape[self.channel_axis] += self.groups * self.coordinate_channels
        return tuple(shape)

    def call(self, inputs):
        outputs = self.convolution(ops.cast(inputs, self.compute_dtype))
        if self.activation is not None:
            return self.activation(outputs)
        return outputs

    def convolution(self, inputs):
        """The output before the activation, bias included."""
        return self.folded_convolution(inputs, *self.split_weights())

    def split_weights(self):
        """The weights of the input, and those of the coordinates."""
        raise NotImplementedError

    def add_bias(self, outputs):
        """Adds the bias to an output in the layer's data format."""
        if self.data_format == "channels_last":
            return ops.add(outputs, self.bias)
        return ops.add(
            outputs, ops.reshape(self.bias, (1, -1, *[1] * self.rank))
        )

    def split_coordinates(self, kernel, axis, multiplier=1):
        """A kernel in two: for the input's channels, for the coordinates'.

        One split, since its gradient is one concatenation; two slices would
        each make a gradient of the size of the kernel.
        """
        coordinates = multiplier * self.coordinate_channels
        return ops.split(kernel, [kernel.shape[axis] - coordinates], axis=axis)

    def convolve(self, inputs, weights, data_format):
        """Convolution of a tensor in the format given, without bias."""
        raise NotImplementedError

    def folded_convolution(self, inputs, weights, coordinate_weights):
        """Sum of the inputs' convolution and the coordinates', with bias."""
        return ops.add(
            self.convolve(inputs, weights, self.data_format),
            self.position_term(self.spatial_shape(inputs), coordinate_weights),
        )

    def position_term(self, spatial_shape, coordinate_weights):
        """What coordinates and bias add to each output, batch axis of 1."""
        position = self.convolved_coordinates(spatial_shape, coordinate_weights)
        if self.use_bias:
            position = ops.add(position, self.bias)
        return self.to_data_format(position)

    def convolved_coordinates(self, spatial_shape, coordinate_weights):
        """The coordinates' convolution, channels last, batch axis of 1."""
        weight = keras.tree.flatten(coordinate_weights)[0]
        coordinates = self.coordinates(
            spatial_shape, keras.utils.standardize_dtype(weight.dtype)
        )
        return self.convolve(coordinates, coordinate_weights, "channels_last")
