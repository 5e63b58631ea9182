"""Separable CoordConv: depthwise over input and coordinates, then pointwise."""

import keras
from keras import ops

from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordSeparableConv(CoordinateConvolution):
    """CoordConv form of Keras's separable convolutions, for any rank."""

    def _split_weights(self):
        depthwise = self._split_kernel(self.depthwise_kernel, axis=-2)
        pointwise = self._split_kernel(
            self.pointwise_kernel, axis=-2, multiplier=self.depth_multiplier
        )
        return zip(depthwise, pointwise, strict=True)

    def _convolve(self, inputs, kernels, data_format):
        return ops.separable_conv(
            inputs,
            *kernels,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=data_format,
        )


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordSeparableConv1D(
    BaseCoordSeparableConv, keras.layers.SeparableConv1D
):
    """1D separable convolution layer with a coordinate channel (CoordConv).

    It is `CoordSeparableConv2D` with one spatial axis: it takes all arguments
    of `keras.layers.SeparableConv1D`, in the same order, and has its shapes.
    `d` is 1, or 2 with the radius.

    Example:

    >>> x = np.random.rand(4, 10, 3)
    >>> y = keras_coordconv.CoordSeparableConv1D(16, 3)(x)
    >>> y.shape
    (4, 8, 16)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordSeparableConv2D(
    BaseCoordSeparableConv, keras.layers.SeparableConv2D
):
    """2D separable convolution layer with coordinate channels (CoordConv).

    It is equivalent to appending the row `i` and the column `j` to the input as
    channels and applying `keras.layers.SeparableConv2D`, but does not copy the
    input.

    Args:
        filters, kernel_size, ...: All arguments of
            `keras.layers.SeparableConv2D`, in the same order.
        use_radius, coordinate_range, align, axes, radius_center, encoding:
            As for `CoordConv2D`.

    Call arguments and errors are the same as for `CoordConv2D`, and the shapes
    of input and output are the same as for `keras.layers.SeparableConv2D`. The
    depthwise kernel has `channels + d` input channels, with `d` = 2, or 3 with
    the radius. The weights of the coordinates come last in both kernels.

    Example:

    >>> x = np.random.rand(4, 10, 12, 3)
    >>> y = keras_coordconv.CoordSeparableConv2D(16, 3)(x)
    >>> y.shape
    (4, 8, 10, 16)
    """
