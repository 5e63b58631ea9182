"""Transposed CoordConv: transposed convolutions with coordinate channels."""

import keras
from keras import ops

from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordConvTranspose(CoordinateConvolution):
    """CoordConv form of Keras's transposed convolutions, for any rank."""

    def _split_weights(self):
        return self._split_kernel(self.kernel, axis=-1)

    def _convolve(self, inputs, kernel, data_format):
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=data_format,
        )


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv1DTranspose(
    BaseCoordConvTranspose, keras.layers.Conv1DTranspose
):
    """1D transposed convolution layer with a coordinate channel (CoordConv).

    It is `CoordConv2DTranspose` with one spatial axis: it takes all arguments
    of `keras.layers.Conv1DTranspose`, in the same order, and has its shapes.
    `d` is 1, or 2 with the radius.

    Example:

    >>> x = np.random.rand(4, 10, 3)
    >>> layer = keras_coordconv.CoordConv1DTranspose(8, 3, 2, "same")
    >>> y = layer(x)
    >>> y.shape
    (4, 20, 8)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv2DTranspose(
    BaseCoordConvTranspose, keras.layers.Conv2DTranspose
):
    """2D transposed convolution layer with coordinate channels (CoordConv).

    It is equivalent to appending the row `i` and the column `j` to the input as
    channels and applying `keras.layers.Conv2DTranspose`, but does not copy the
    input.

    Args:
        filters, kernel_size, ...: All arguments of
            `keras.layers.Conv2DTranspose`, in the same order.
        use_radius, coordinate_range, align, axes, radius_center, encoding:
            As for `CoordConv2D`.

    Call arguments and errors are the same as for `CoordConv2D`, and the shapes
    of input and output are the same as for `keras.layers.Conv2DTranspose`. The
    kernel has the shape `(*kernel_size, filters, channels + d)`, with `d` = 2,
    or 3 with the radius. The weights of the coordinates come last.

    Example:

    >>> x = np.random.rand(4, 10, 12, 3)
    >>> layer = keras_coordconv.CoordConv2DTranspose(8, 3, 2, "same")
    >>> y = layer(x)
    >>> y.shape
    (4, 20, 24, 8)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv3DTranspose(
    BaseCoordConvTranspose, keras.layers.Conv3DTranspose
):
    """3D transposed convolution layer with coordinate channels (CoordConv).

    It is `CoordConv2DTranspose` with three spatial axes: it takes all arguments
    of `keras.layers.Conv3DTranspose`, in the same order, and has its shapes.
    `d` is 3, or 4 with the radius.

    Example:

    >>> x = np.random.rand(4, 6, 7, 8, 3)
    >>> layer = keras_coordconv.CoordConv3DTranspose(8, 3, 2, "same")
    >>> y = layer(x)
    >>> y.shape
    (4, 12, 14, 16, 8)
    """
