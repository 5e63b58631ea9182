"""Base class of the CoordConv layers."""

import keras
from keras import ops

from keras_coordconv.layers import coordinate_terms
from keras_coordconv.layers.addition import add
from keras_coordconv.layers.coordinate_layer import CoordinateLayer


class CoordinateConvolution(CoordinateLayer):
    """Mixin that adds coordinates to a Keras convolution.

    The weights are the same as for appending the coordinates and convolving;
    the weights of the coordinates come last on the kernel's input axis. But the
    coordinates are not appended: a separate term adds their contribution
    (`coordinate_terms`). If they are the same for the whole batch, the term is
    computed for a batch of one and includes the bias, so that a single addition
    of the size of the output suffices.

    A family defines how to split its weights between the input and the
    coordinates (`_split_weights`), and how to convolve (`_convolve`).
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
        """Returns the shape of the input with the coordinates of all groups."""
        shape = list(input_shape)
        shape[self._channel_axis] += self.groups * self._coordinate_channels
        return tuple(shape)

    def call(self, inputs, affine=None, coordinates=None, training=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        frame = self._standardize_frame(inputs, affine, coordinates)
        is_empty = inputs.shape[0] == 0
        if is_empty:
            # TensorFlow with oneDNN keeps the input's shape for an empty batch.
            inputs, frame = keras.tree.map_structure(
                _with_an_example, (inputs, frame)
            )
        outputs = self._before_activation(inputs, bool(training), **frame)
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs[:0] if is_empty else outputs

    def _before_activation(self, inputs, training, **frame):
        """Returns the layer's output before its activation, bias included."""
        return self._sum_of_terms(inputs, *self._split_weights(), **frame)

    def _split_weights(self):
        """Splits the weights between the input and the coordinates.

        Returns:
            Pair of the weights for `_convolve`.
        """
        raise NotImplementedError

    def _convolve(self, inputs, weights, data_format):
        """Computes Keras's convolution of this family, without bias."""
        raise NotImplementedError

    def _split_kernel(self, kernel, axis, multiplier=1):
        """Splits a kernel between the input's channels and the coordinates."""
        channels = kernel.shape[axis] - multiplier * self._coordinate_channels
        if keras.backend.backend() == "torch":
            # `torch.export` cannot follow Keras's split.
            kernel = ops.moveaxis(ops.convert_to_tensor(kernel), axis, 0)
            return [
                ops.moveaxis(part, 0, axis)
                for part in (kernel[:channels], kernel[channels:])
            ]
        # The gradient of one split is one concatenation; two slices would each
        # create a gradient of the size of the kernel.
        return ops.split(kernel, [channels], axis=axis)

    def _sum_of_terms(self, inputs, weights, coordinate_weights, **frame):
        """Adds the convolutions of inputs and coordinates, and the bias."""
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
        """Returns the sum of coordinate term and bias, with a batch axis of 1.

        The sum is rounded to the compute dtype once.
        """
        term = self._coordinate_term(spatial_shape, coordinate_weights)
        if self.use_bias:
            term = add(term, ops.cast(self.bias, term.dtype))
        return self._to_data_format(ops.cast(term, self.compute_dtype))

    def _coordinate_term(self, spatial_shape, coordinate_weights, **frame):
        """Convolves the coordinates, channels last.

        Returns:
            Tensor of shape `(batch, *output_shape, filters)`, float32 or wider,
            with a batch axis of 1 if it is the same for all examples.
        """
        first_weights = keras.tree.flatten(coordinate_weights)[0]
        dtype = coordinate_terms.wide_dtype(first_weights)
        features, weights = keras.tree.map_structure(
            lambda tensor: ops.cast(tensor, dtype),
            (self._features(spatial_shape, **frame), coordinate_weights),
        )
        return self._convolve(features, weights, "channels_last")

    def _add_bias(self, outputs):
        """Adds the bias, if any, to a tensor in the layer's data format."""
        if not self.use_bias:
            return outputs
        if self.data_format == "channels_last":
            # Here `ops.add` is correct, and TensorFlow can fuse it.
            return ops.add(outputs, self.bias)
        return add(outputs, ops.reshape(self.bias, (-1, *[1] * self.rank)))


def _with_an_example(tensor):
    """Adds one example of zeros to an empty batch."""
    if tensor.shape[0] != 0:
        return tensor
    # In a graph, oneDNN fuses `ops.pad` with the convolution and loses it.
    example = ops.zeros((1, *tensor.shape[1:]), tensor.dtype)
    return ops.concatenate([tensor, example])
