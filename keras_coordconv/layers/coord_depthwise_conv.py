"""Depthwise CoordConv: the coordinates are filtered like other channels."""

import keras
from keras import ops

from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordDepthwiseConv(CoordinateConvolution):
    """CoordConv form of Keras's depthwise convolutions, for any rank.

    Channels do not mix: the filtered coordinates are separate output channels,
    computed once and repeated over the batch.
    """

    def _before_activation(self, inputs, training, **frame):
        weights, coordinate_weights = self._split_weights()
        term = self._coordinate_term(
            self._spatial_shape(inputs), coordinate_weights, **frame
        )
        return self._add_bias(
            self._append_channels(
                self._convolve(inputs, weights, self.data_format), term
            )
        )

    def _split_weights(self):
        return self._split_kernel(self.kernel, axis=-2)

    def _convolve(self, inputs, kernel, data_format):
        return ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=data_format,
        )

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(self._widened_shape(input_shape))


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordDepthwiseConv1D(
    BaseCoordDepthwiseConv, keras.layers.DepthwiseConv1D
):
    """1D depthwise convolution layer with a coordinate channel (CoordConv).

    It is `CoordDepthwiseConv2D` with one spatial axis: it takes all arguments
    of `keras.layers.DepthwiseConv1D`, in the same order, and has its shapes.
    `d` is 1, or 2 with the radius.

    Example:

    >>> x = np.random.rand(4, 10, 3)
    >>> y = keras_coordconv.CoordDepthwiseConv1D(3, depth_multiplier=2)(x)
    >>> y.shape
    (4, 8, 8)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordDepthwiseConv2D(
    BaseCoordDepthwiseConv, keras.layers.DepthwiseConv2D
):
    """2D depthwise convolution layer with coordinate channels (CoordConv).

    It is equivalent to appending the row `i` and the column `j` to the input as
    channels and applying `keras.layers.DepthwiseConv2D`. In the output, the
    filtered coordinates come last.

    Args:
        kernel_size, strides, ...: All arguments of
            `keras.layers.DepthwiseConv2D`, in the same order.
        use_radius, coordinate_range, align, axes, radius_center, encoding:
            As for `CoordConv2D`.

    Call arguments and errors are the same as for `CoordConv2D`, and the shapes
    of input and output are the same as for `keras.layers.DepthwiseConv2D`, but
    with `(channels + d) * depth_multiplier` output channels: `d` = 2, or 3 with
    the radius.

    Example:

    >>> x = np.random.rand(4, 10, 12, 3)
    >>> y = keras_coordconv.CoordDepthwiseConv2D(3, depth_multiplier=2)(x)
    >>> y.shape
    (4, 8, 10, 10)
    """
