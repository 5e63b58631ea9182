"""CoordConv: convolutions with coordinate channels."""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_coordconv.frames import window_taps
from keras_coordconv.layers import coordinate_terms
from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordConv(CoordinateConvolution):
    """CoordConv form of Keras's convolutions, for any rank."""

    def _before_activation(self, inputs, training, **frame):
        if not self._appending_is_cheaper(training, bool(frame)):
            return self.convolution_op(inputs, self.kernel, **frame)
        inputs = self._append_channels(
            inputs, self._features(self._spatial_shape(inputs), **frame)
        )
        outputs = self._convolve(inputs, self.kernel, self.data_format)
        return self._add_bias(outputs)

    def convolution_op(self, inputs, kernel, **frame):
        """Convolves the inputs and the coordinates, and adds the bias.

        A subclass may override it to compute the kernel, as in Keras, where the
        bias is only added after this method.

        Args:
            inputs: Tensor, the layer's input, without coordinates.
            kernel: Tensor of shape `(*kernel_size, channels // groups +
                coordinate_channels, filters)`.
            **frame: `affine` or `coordinates` of the call, if any.

        Returns:
            Tensor, the layer's output before its activation.
        """
        return self._sum_of_terms(
            inputs, *self._split_kernel(kernel, axis=-2), **frame
        )

    def _appending_is_cheaper(self, training, has_frame):
        """Returns whether to append the coordinates to the input instead.

        Appending is an extra pass over the input. Adding the coordinate term is
        an extra pass over the output, which is larger here. In training, the
        copy of the input would be kept for the gradient. With few channels, the
        copy is slow: TensorFlow copies them pixel by pixel. With a frame per
        example, the term is a convolution of the whole batch, so appending pays
        off sooner. In half precision, it would round the coordinates.
        (Measurements: examples/results/benchmark_layers.)
        """
        if training or self.groups > 1 or self.compute_dtype != "float32":
            return False
        if type(self).convolution_op is not BaseCoordConv.convolution_op:
            return False  # A subclass computes its kernel there.
        channels = self.kernel.shape[-2] - self._coordinate_channels
        copied = channels * math.prod(self.strides)
        if has_frame:
            return self.filters >= copied
        return (
            self.encoding is None
            and math.prod(self.kernel_size) == 1
            and channels >= 16
            and self.filters >= 2 * copied
        )

    def _split_weights(self):
        return self._split_kernel(self.kernel, axis=-2)

    def _position_bias(self, spatial_shape, coordinate_weights):
        if math.prod(self.kernel_size) > 1 or not _all_known(spatial_shape):
            return super()._position_bias(spatial_shape, coordinate_weights)
        term = coordinate_terms.pointwise(
            self._features(spatial_shape),
            coordinate_weights,
            self.bias if self.use_bias else None,
            self.strides,
        )
        return self._to_data_format(ops.cast(term, self.compute_dtype))

    def _coordinate_term(self, spatial_shape, coordinate_weights, **frame):
        # For small maps, several operations are slower than one.
        if (
            frame
            or self.use_radius
            or self.encoding is not None
            or self.rank == 1
            or math.prod(self.kernel_size) == 1
            or not _all_known(spatial_shape)
            or math.prod(spatial_shape) < 4096
        ):
            return super()._coordinate_term(
                spatial_shape, coordinate_weights, **frame
            )
        return coordinate_terms.axis_by_axis(
            spatial_shape,
            self._frames,
            coordinate_weights,
            lambda axis: self._taps(axis, spatial_shape[axis]),
        )

    def _taps(self, axis, size):
        """Returns the input positions under the kernel taps, along an axis.

        `CoordConv1D`, whose padding may be causal, does not use it.

        Returns:
            Integer array of shape `(outputs, kernel_size)`; positions outside
            of the input are padding.
        """
        kernel_size, stride, dilation = (
            values[axis]
            for values in (self.kernel_size, self.strides, self.dilation_rate)
        )
        ((_, _, first, last),) = window_taps(
            (size,), kernel_size, stride, self.padding, dilation
        )
        end = size if self.padding == "same" else size - last
        begins = np.arange(0, end, stride) + first
        return begins[:, None] + np.arange(kernel_size) * dilation

    def _convolve(self, inputs, weights, data_format):
        padding = self.padding
        if padding == "causal":
            steps = [self.dilation_rate[0] * (self.kernel_size[0] - 1), 0]
            if data_format == "channels_last":
                inputs = ops.pad(inputs, [[0, 0], steps, [0, 0]])
            else:
                inputs = ops.pad(inputs, [[0, 0], [0, 0], steps])
            padding = "valid"
        return ops.conv(
            inputs,
            weights,
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=data_format,
        )


def _all_known(spatial_shape):
    return all(isinstance(size, numbers.Integral) for size in spatial_shape)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv1D(BaseCoordConv, keras.layers.Conv1D):
    """1D convolution layer with a coordinate channel (CoordConv).

    It is `CoordConv2D` with one spatial axis and the coordinate `i`: it takes
    all arguments of `keras.layers.Conv1D`, in the same order, and has its
    shapes. The kernel has the shape `(kernel_size, channels / groups + d,
    filters)`, with `d` = 1, or 2 with the radius.

    Example:

    >>> x = np.random.rand(4, 10, 128)
    >>> y = keras_coordconv.CoordConv1D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 32)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv2D(BaseCoordConv, keras.layers.Conv2D):
    """2D convolution layer with coordinate channels (CoordConv).

    It is equivalent to appending two channels to the input, the row coordinate
    `i` and the column coordinate `j`, and applying `keras.layers.Conv2D`, but
    does not copy the input. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    Args:
        filters, kernel_size, ...: All arguments of `keras.layers.Conv2D`, in
            the same order.
        use_radius: Boolean, whether to add the radius channel: the distance
            `r` of each pixel from `radius_center`, in the units of the
            coordinates.
        coordinate_range: Pair `(first, last)` for all axes, or one such pair
            per axis, or `"pixel"` for steps of 1 that start at 0. `first` may
            be larger than `last`.
        align: String, what the pair spans. `"centers"`: from the center of the
            first pixel to the center of the last one; an axis of size 1 gets
            the middle. `"edges"`: from edge to edge of the image, so that pixel
            `k` of `n` is at the fraction `(k + 0.5) / n`. `"period"`: one
            period, so that pixel `k` of `n` is at the fraction `k / n` and the
            end coincides with the next pixel after the last one.
        axes: Tuple of integers, the spatial axes that have a coordinate,
            starting at 0. Defaults to all of them.
        radius_center: Float, or tuple with one float per coordinate. Point the
            radius is measured from. Defaults to the middle of the image.
        encoding: Callable from coordinates `(..., d)` to features `(..., e)`,
            such as `FourierFeatures`. The features replace the coordinates, but
            not the radius.

    Call arguments:
        inputs: The input tensor, see below.
        affine: Float tensor of shape `(batch_size or 1, d, 3)`. The coordinates
            of index `k` are `affine @ [k, 1]`, instead of those from
            `coordinate_range` and `align`. `d` may be any number, but must be
            the same in all calls.
        coordinates: Float tensor of shape `(batch_size or 1, height, width,
            d)`, the coordinates themselves.

    Input shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, height, width, channels)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, channels, height, width)`

    Output shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, new_height, new_width, filters)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, filters, new_height, new_width)`

    The kernel has the shape `(*kernel_size, channels / groups + d, filters)`,
    with `d` = 2, or 3 with the radius. The weights of the coordinates come
    last, in the order `i`, `j`, `r`. With `groups > 1`, every group gets the
    coordinates. Integer inputs are cast to the layer's compute dtype.

    Returns:
        A 4D tensor representing
        `activation(conv2d([inputs, coordinates], kernel) + bias)`.

    Raises:
        ValueError: if an argument is malformed, if the input has the wrong rank
            or an undefined number of channels, or if `keras.layers.Conv2D`
            raises it.

    Example:

    >>> x = np.random.rand(4, 10, 10, 128)
    >>> y = keras_coordconv.CoordConv2D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 8, 32)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv3D(BaseCoordConv, keras.layers.Conv3D):
    """3D convolution layer with coordinate channels (CoordConv).

    It is `CoordConv2D` with three spatial axes and three coordinates: it takes
    all arguments of `keras.layers.Conv3D`, in the same order, and has its
    shapes. The kernel has the shape `(*kernel_size, channels / groups + d,
    filters)`, with `d` = 3, or 4 with the radius.

    Example:

    >>> x = np.random.rand(4, 10, 10, 10, 128)
    >>> y = keras_coordconv.CoordConv3D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 8, 8, 32)
    """
