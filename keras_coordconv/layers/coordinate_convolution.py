"""Base class of the CoordConv layers."""

import keras
from keras import ops

from keras_coordconv.layers import coordinate_terms
from keras_coordconv.layers.addition import add
from keras_coordconv.layers.coordinate_layer import CoordinateLayer


class CoordinateConvolution(CoordinateLayer):
    """Mixin that gives a Keras convolution the coordinates of its input.

    The weights are those of "append the coordinates, then convolve", with the
    coordinates' slice last on the kernel's input axis. The coordinates are not
    appended: what they add is a term of its own (`coordinate_terms`). Where
    they are the same for the whole batch, it has a batch of one, and the bias
    goes into it, so that one addition of the size of the output does for both.

    A family defines how its weights divide into those of the input and those of
    the coordinates (`_split_weights`), and how either convolves (`_convolve`).
    """

    groups = 1

    def build(self, input_shape):
        channels = self._input_channels(input_shape)
        if channels % self.groups != 0:
            raise ValueError(
                "The number of input channels must be evenly divisible by "
                f"the number of groups. Received: groups={self.groups} and "
                f"input_shape={tuple(input_shape)}"
            )
        super().build(self._widened_shape(input_shape))
        self.input_spec = keras.InputSpec(
            ndim=self.rank + 2, axes={self._channel_axis: channels}
        )

    def _widened_shape(self, input_shape):
        """Shape of the input with the coordinates that every group sees."""
        shape = list(input_shape)
        shape[self._channel_axis] += self.groups * self._coordinate_channels
        return tuple(shape)

    def call(self, inputs, affine=None, coordinates=None, training=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        frame = self._standardize_frame(inputs, affine, coordinates)
        is_empty = inputs.shape[0] == 0
        if is_empty:
            # TensorFlow with oneDNN returns an empty batch in its old shape.
            inputs, frame = keras.tree.map_structure(
                _with_an_example, (inputs, frame)
            )
        outputs = self._before_activation(inputs, bool(training), **frame)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs[:0] if is_empty else outputs

    def _before_activation(self, inputs, training, **frame):
        """The layer's output before its activation, bias included."""
        return self._sum_of_terms(inputs, *self._split_weights(), **frame)

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

    def _sum_of_terms(self, inputs, weights, coordinate_weights, **frame):
        """Sum of the inputs' convolution and the coordinates', with bias."""
        outputs = self._convolve(inputs, weights, self.data_format)
        spatial_shape = self._spatial_shape(inputs)
        if not frame:
            return add(
                outputs, self._position_bias(spatial_shape, coordinate_weights)
            )
        term = self._coordinate_term(spatial_shape, coordinate_weights, **frame)
        # TensorFlow can fuse the bias with the convolution.
        outputs = self._add_bias(outputs)
        return add(outputs, self._to_data_format(ops.cast(term, outputs.dtype)))

    def _position_bias(self, spatial_shape, coordinate_weights):
        """What coordinates and bias add to each output, batch axis of 1.

        It is rounded to the compute dtype once, with the bias.
        """
        term = self._coordinate_term(spatial_shape, coordinate_weights)
        if self.use_bias:
            term = add(term, ops.cast(self.bias, term.dtype))
        return self._to_data_format(ops.cast(term, self.compute_dtype))

    def _coordinate_term(self, spatial_shape, coordinate_weights, **frame):
        """The coordinates' convolution, channels last.

        Returns:
            Tensor of shape `(batch, *output_shape, filters)`, float32 or wider,
            with a batch axis of 1 where it is the same for all examples.
        """
        first_weights = keras.tree.flatten(coordinate_weights)[0]
        dtype = coordinate_terms.wide_dtype(first_weights)
        features, weights = keras.tree.map_structure(
            lambda tensor: ops.cast(tensor, dtype),
            (self._features(spatial_shape, **frame), coordinate_weights),
        )
        return self._convolve(features, weights, "channels_last")

    def _add_bias(self, outputs):
        """Adds the bias, if there is one, to a tensor in the data format."""
        if not self.use_bias:
            return outputs
        if self.data_format == "channels_last":
            # Here Keras's sum is right, and TensorFlow can fuse it.
            return ops.add(outputs, self.bias)
        return add(outputs, ops.reshape(self.bias, (-1, *[1] * self.rank)))


def _with_an_example(tensor):
    """An empty batch with one example of zeros; any other batch as it is."""
    if tensor.shape[0] != 0:
        return tensor
    # In a graph, oneDNN would fuse padding with the convolution, and lose it.
    example = ops.zeros((1, *tensor.shape[1:]), tensor.dtype)
    return ops.concatenate([tensor, example])
