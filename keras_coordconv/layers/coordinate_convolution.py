"""Turns a Keras convolution into a CoordConv: the engine of all families."""

import keras
from keras import ops

from keras_coordconv.layers.addition import add
from keras_coordconv.layers.coordinate_layer import CoordinateLayer
from keras_coordconv.layers.coordinate_layer import own_shape


class CoordinateConvolution(CoordinateLayer):
    """Mixin that gives a Keras convolution the coordinates of its input.

    The weights are those of "append the coordinates, then convolve", with the
    coordinates' slice last on the kernel's input axis. A convolution is linear,
    so

        conv([x, p], [W_x, W_p]) = conv(x, W_x) + conv(p, W_p)

    and since the coordinates `p` are the same for the whole batch, the second
    term is one small convolution over a batch of one. The bias goes into that
    small term, so that one addition of the size of the output does for both.
    With ranges, which differ by example, it is a convolution of the batch.

    A family says how its weights divide into those of the input and those of
    the coordinates (`_split_weights`), and how either convolves (`_convolve`).
    """

    groups = 1
    _training = False

    def build(self, input_shape):
        own_input_shape = own_shape(input_shape)
        channels = self._input_channels(own_input_shape)
        if channels % self.groups != 0:
            raise ValueError(
                "The number of input channels must be evenly divisible by "
                f"the number of groups. Received: groups={self.groups} and "
                f"input_shape={own_input_shape}"
            )
        super().build(self._widened_shape(own_input_shape))
        self.input_spec = self._input_spec_for(input_shape, channels)

    def _widened_shape(self, input_shape):
        """Shape of the input with the coordinates that every group sees."""
        shape = list(input_shape)
        shape[self._channel_axis] += self.groups * self._coordinate_channels
        return tuple(shape)

    def call(self, inputs, training=None):
        # Chooses between two forms of the same computation, never a value.
        self._training = bool(training)
        outputs = self._before_activation(*self._separate(inputs))
        if self.activation is not None:
            return self.activation(outputs)
        return outputs

    def _before_activation(self, inputs, ranges):
        """The layer's output before its activation, bias included."""
        return self._sum_of_terms(inputs, ranges, *self._split_weights())

    def _split_weights(self):
        """The weights of the input, and those of the coordinates.

        Returns:
            Pair of what `_convolve` takes as its weights.
        """
        raise NotImplementedError

    def _convolve(self, inputs, weights, data_format):
        """Keras's convolution of this family, without bias."""
        raise NotImplementedError

    def _split_kernel(self, kernel, axis, multiplier=1):
        """A kernel in two: for the input's channels, for the coordinates'."""
        channels = kernel.shape[axis] - multiplier * self._coordinate_channels
        if keras.backend.backend() == "torch":
            # `torch.export` cannot follow Keras's split.
            kernel = ops.moveaxis(ops.convert_to_tensor(kernel), axis, 0)
            return [
                ops.moveaxis(part, 0, axis)
                for part in (kernel[:channels], kernel[channels:])
            ]
        # The gradient of one split is one concatenation; two slices would each
        # make a gradient of the size of the kernel.
        return ops.split(kernel, [channels], axis=axis)

    def _sum_of_terms(self, inputs, ranges, weights, coordinate_weights):
        """Sum of the inputs' convolution and the coordinates', with bias."""
        outputs = self._convolve(inputs, weights, self.data_format)
        spatial_shape = self._spatial_shape(inputs)
        if ranges is None:
            return add(
                outputs, self._position_bias(spatial_shape, coordinate_weights)
            )
        # TensorFlow can fuse the bias with the convolution.
        term = self._term_of_ranges(spatial_shape, ranges, coordinate_weights)
        return add(self._add_bias(outputs), self._to_data_format(term))

    def _position_bias(self, spatial_shape, coordinate_weights):
        """What coordinates and bias add to each output, batch axis of 1."""
        position = self._coordinate_term(spatial_shape, coordinate_weights)
        return self._add_bias(self._to_data_format(position))

    def _coordinate_term(self, spatial_shape, coordinate_weights):
        """The coordinates' convolution, channels last, batch axis of 1."""
        coordinates = self._coordinates(
            spatial_shape, dtype=_dtype_of(coordinate_weights)
        )
        return self._convolve(coordinates, coordinate_weights, "channels_last")

    def _term_of_ranges(self, spatial_shape, ranges, coordinate_weights):
        """The coordinates' convolution for each example, channels last.

        In half precision, the coordinates would be rounded before their
        differences are taken.
        """
        own_dtype = _dtype_of(coordinate_weights)
        dtype = keras.backend.result_type(own_dtype, "float32")
        term = self._convolve(
            self._coordinates(spatial_shape, ranges, dtype),
            keras.tree.map_structure(
                lambda weights: ops.cast(weights, dtype), coordinate_weights
            ),
            "channels_last",
        )
        return ops.cast(term, own_dtype)

    def _add_bias(self, outputs):
        """Adds the bias, if there is one, to a tensor in the data format."""
        if not self.use_bias:
            return outputs
        if self.data_format == "channels_last":
            # Here Keras's sum is right, and TensorFlow can fuse it.
            return ops.add(outputs, self.bias)
        return add(outputs, ops.reshape(self.bias, (-1, *[1] * self.rank)))


def _dtype_of(weights):
    return keras.utils.standardize_dtype(keras.tree.flatten(weights)[0].dtype)
