"""Separable CoordConv: depthwise over input and coordinates, then pointwise."""

import keras
from keras import ops

from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordSeparableConv(CoordinateConvolution):
    """Makes a CoordConv of `keras.layers.SeparableConv`, for any rank."""

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
    """1D separable convolution that sees its input's coordinate.

    `CoordSeparableConv2D` with one spatial axis: it takes all arguments of
    `keras.layers.SeparableConv1D`, in the same order, and has its shapes. `d`
    is 1, or 2 with the radius.

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
    """2D separable convolution that sees its input's coordinates.

    The same as appending row `i` and column `j` to the input and applying
    `keras.layers.SeparableConv2D`. The input is not copied.

    Args:
        filters, kernel_size, ...: All arguments of
            `keras.layers.SeparableConv2D`, in the same order.
        use_radius, coordinate_range, align, axes, radius_center, encoding:
            The coordinates: as of `CoordConv2D`.

    Call arguments and errors are those of `CoordConv2D`; input and output have
    the shapes of `keras.layers.SeparableConv2D`. The depthwise kernel has
    `channels + d` input channels, with `d` = 2, or 3 with the radius; the
    slice of the coordinates is the last one, in the pointwise kernel too.

    Example:

    >>> x = np.random.rand(4, 10, 12, 3)
    >>> y = keras_coordconv.CoordSeparableConv2D(16, 3)(x)
    >>> y.shape
    (4, 8, 10, 16)
    """
