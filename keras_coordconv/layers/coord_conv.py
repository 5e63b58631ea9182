"""CoordConv: convolutions that see the coordinates of their input."""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_coordconv.coordinates import axis_coordinates
from keras_coordconv.coordinates import ranges_of_axes
from keras_coordconv.layers.coordinate_convolution import CoordinateConvolution


class BaseCoordConv(CoordinateConvolution):
    """Makes a CoordConv of `keras.layers.Conv`, for any rank."""

    def _before_activation(self, inputs, ranges):
        if ranges is None:
            return self.convolution_op(inputs, self.kernel)
        return self.convolution_op(inputs, self.kernel, ranges)

    def convolution_op(self, inputs, kernel, ranges=None):
        """Convolution with the coordinates, bias included.

        A subclass may override it to compute the kernel, as with Keras's
        convolutions; there, the bias comes after this method.

        Args:
            inputs: Tensor, the layer's own input, without coordinates.
            kernel: Tensor of shape `(*kernel_size, channels // groups +
                coordinate_channels, filters)`.
            ranges: Tensor of shape `(batch, rank, 2)`, or `None` for the
                layer's own `coordinate_range`.

        Returns:
            Tensor, the layer's output before its activation.
        """
        if not self._appending_is_cheaper(ranges is not None):
            return self._sum_of_terms(
                inputs, ranges, *self._split_kernel(kernel, axis=-2)
            )
        inputs = self._append_channels(
            inputs, self._coordinates(self._spatial_shape(inputs), ranges)
        )
        return self._add_bias(self._convolve(inputs, kernel, self.data_format))

    def _appending_is_cheaper(self, has_ranges):
        """Whether to append the coordinates to the input after all.

        Appending is a pass over the input, adding the coordinates' term one
        over the output, which is larger here. In training the copy of the
        input would be kept for the gradient. With few channels the copy is
        slow: TensorFlow copies them pixel by pixel.

        With ranges, the term is a convolution of the batch: appending pays
        sooner. But in half precision it would round the coordinates before
        their differences are taken.
        (examples/results/benchmark_layers has the measurements.)
        """
        channels = self.kernel.shape[-2] - self._coordinate_channels
        copied = channels * math.prod(self.strides)
        if self._training or self.groups > 1:
            return False
        if has_ranges:
            return self.filters >= copied and self.compute_dtype == "float32"
        return (
            math.prod(self.kernel_size) == 1
            and channels >= 16
            and self.filters >= 2 * copied
        )

    def _split_weights(self):
        return self._split_kernel(self.kernel, axis=-2)

    def _position_bias(self, spatial_shape, coordinate_weights):
        """Coordinates' term and bias; of a 1x1 kernel, one matrix product.

        There, the bias is the weight of one more channel, of ones.
        """
        if math.prod(self.kernel_size) > 1 or not _all_known(spatial_shape):
            return super()._position_bias(spatial_shape, coordinate_weights)
        weights = ops.reshape(coordinate_weights, (-1, self.filters))
        coordinates = self._coordinates(
            spatial_shape, dtype=keras.utils.standardize_dtype(weights.dtype)
        )
        met = coordinates[
            (slice(None), *(slice(None, None, step) for step in self.strides))
        ]
        if self.use_bias:
            met = ops.concatenate([met, ops.ones_like(met[..., :1])], axis=-1)
            bias = ops.expand_dims(self.bias, 0)
            weights = ops.concatenate([weights, bias])
        return self._to_data_format(ops.tensordot(met, weights, axes=1))

    def _coordinate_term(self, spatial_shape, coordinate_weights):
        """The coordinates' convolution, axis by axis where sizes are known.

        The coordinate of one axis is the same all along the others: its
        convolution is a product with one small matrix an axis, which is much
        faster than a convolution of so few channels, but several operations:
        a small map is not worth them. The radius is not the same along any
        axis, and a kernel of one position leaves no sums.
        """
        if (
            self.use_radius
            or self.rank == 1
            or math.prod(self.kernel_size) == 1
            or not _all_known(spatial_shape)
            or math.prod(spatial_shape) < 4096
        ):
            return super()._coordinate_term(spatial_shape, coordinate_weights)
        own_dtype = keras.utils.standardize_dtype(coordinate_weights.dtype)
        # The sums between two axes are not rounded to half precision.
        dtype = keras.backend.result_type(own_dtype, "float32")
        rank = self.rank
        # From (*kernel_size, coordinate, filter): the coordinate first, then
        # the axes of the kernel, the last one first. Each turn replaces the
        # first of these by an axis of the output, before the other outputs.
        order = (rank, *reversed(range(rank)), rank + 1)
        term = ops.transpose(ops.cast(coordinate_weights, dtype), order)
        for axis in reversed(range(1, rank)):
            taps = self._taps(axis, spatial_shape[axis])
            blocks = np.zeros((rank, len(taps[0]), *term.shape[:2]), "float32")
            for coordinate in range(rank):
                blocks[coordinate, :, coordinate] = taps[coordinate != axis]
            rest = term.shape[2:]
            term = self._product(blocks, term, dtype)
            term = ops.reshape(term, (*blocks.shape[:2], *rest))
            left = range(2, 2 + axis)
            order = (0, *left, 1, *range(2 + axis, len(term.shape)))
            term = ops.transpose(term, order)
        taps = self._taps(0, spatial_shape[0])
        blocks = np.stack([taps[axis != 0] for axis in range(rank)], axis=1)
        outputs = self._product(blocks[None], term, dtype)
        shape = (1, len(taps[0]), *term.shape[2:])
        return ops.cast(ops.reshape(outputs, shape), own_dtype)

    def _product(self, blocks, term, dtype):
        """Matrix product over the last two axes and the first two."""
        rows, columns = math.prod(blocks.shape[:2]), math.prod(blocks.shape[2:])
        return ops.matmul(
            ops.convert_to_tensor(blocks.reshape(rows, columns), dtype),
            ops.reshape(term, (columns, -1)),
        )

    def _taps(self, axis, size):
        """What each output meets at each position of the kernel, on one axis.

        Never of `CoordConv1D`, whose padding may be causal.

        Returns:
            Pair of arrays of shape `(outputs, kernel_size)`: the coordinate,
            and one, with zeros where the kernel meets the padding.
        """
        stride, dilation = self.strides[axis], self.dilation_rate[axis]
        extent = (self.kernel_size[axis] - 1) * dilation
        if self.padding == "same":
            outputs = -(-size // stride)
            padding = max((outputs - 1) * stride + extent + 1 - size, 0)
        else:
            outputs = (size - extent - 1) // stride + 1
            padding = 0
        position = (
            np.arange(outputs)[:, None] * stride
            + np.arange(self.kernel_size[axis]) * dilation
            - padding // 2
        )
        inside = (position >= 0) & (position < size)
        range_of_axis = ranges_of_axes(self.coordinate_range, self.rank)[axis]
        coordinates = axis_coordinates(size, range_of_axis)
        met = coordinates[np.clip(position, 0, size - 1)]
        return met * inside, inside.astype("float32")

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
    """1D convolution that sees the coordinate of each step.

    The same as appending one channel with the coordinate `i` to the input and
    applying
    `keras.layers.Conv1D`, without a copy of the input.
    Section 3 of [the CoordConv paper](https://arxiv.org/abs/1807.03247), in one
    dimension.

    Args:
        filters, kernel_size, ...: All arguments of `keras.layers.Conv1D`, in
            the same order.
        use_radius: Boolean, whether the layer also sees the distance `r` of
            each step from the middle of the sequence.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last step, or `"pixel"` for 0, 1, 2, ... `first` may be
            above `last`. A sequence of one step gets the middle of the range
            (0 in pixels).
        radius_center: Float, or one float an axis: the point from which the
            radius is measured. Defaults to the middle.

    Input shape:

    - If `data_format="channels_last"`:
        A 3D tensor with shape: `(batch_size, steps, channels)`
    - If `data_format="channels_first"`:
        A 3D tensor with shape: `(batch_size, channels, steps)`

    Or a list of that tensor and of ranges of shape `(batch_size, 1, 2)`: for
    each example, the coordinates of the first and of the last position of each
    axis. They take the place of `coordinate_range`.

    Output shape:

    - If `data_format="channels_last"`:
        A 3D tensor with shape: `(batch_size, new_steps, filters)`
    - If `data_format="channels_first"`:
        A 3D tensor with shape: `(batch_size, filters, new_steps)`

    The kernel has the shape `(kernel_size, channels / groups + d, filters)`,
    with `d` = 1, or 2 with the radius. With `groups > 1` every group sees the
    coordinates. Integer inputs are cast to the layer's compute dtype.

    Returns:
        A 3D tensor representing
        `activation(conv1d([inputs, coordinates], kernel) + bias)`.

    Raises:
        ValueError: if `coordinate_range` is malformed, if the input has the
            wrong rank or an undefined number of channels, and whenever
            `keras.layers.Conv1D` raises it.

    Example:

    >>> x = np.random.rand(4, 10, 128)
    >>> y = keras_coordconv.CoordConv1D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 32)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv2D(BaseCoordConv, keras.layers.Conv2D):
    """2D convolution that sees the coordinates of each pixel.

    The same as appending one channel with the row coordinate `i` and one with
    the column coordinate `j` to the input and applying
    `keras.layers.Conv2D`, without a copy of the input. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    Args:
        filters, kernel_size, ...: All arguments of `keras.layers.Conv2D`, in
            the same order.
        use_radius: Boolean, whether the layer also sees the distance `r` of
            each pixel from the middle of the image, in the units of
            `coordinate_range`.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last pixel of each axis; or one such pair per axis; or
            `"pixel"` for 0, 1, 2, ... `first` may be above `last`. An axis of
            size 1 gets the middle of its range (0 in pixels).
        radius_center: Float, or one float an axis: the point from which the
            radius is measured. Defaults to the middle.

    Input shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, height, width, channels)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, channels, height, width)`

    Or a list of that tensor and of ranges of shape `(batch_size, 2, 2)`: for
    each example, the coordinates of the first and of the last position of each
    axis. They take the place of `coordinate_range`.

    Output shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, new_height, new_width, filters)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, filters, new_height, new_width)`

    The kernel has the shape `(*kernel_size, channels / groups + d, filters)`,
    with `d` = 2, or 3 with the radius; the slice of the coordinates is the last
    one, in the order `i`, `j`, `r`. With `groups > 1` every group sees the
    coordinates. Integer inputs are cast to the layer's compute dtype.

    Returns:
        A 4D tensor representing
        `activation(conv2d([inputs, coordinates], kernel) + bias)`.

    Raises:
        ValueError: if `coordinate_range` is malformed, if the input has the
            wrong rank or an undefined number of channels, and whenever
            `keras.layers.Conv2D` raises it.

    Example:

    >>> x = np.random.rand(4, 10, 10, 128)
    >>> y = keras_coordconv.CoordConv2D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 8, 32)
    """


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordConv3D(BaseCoordConv, keras.layers.Conv3D):
    """3D convolution that sees the coordinates of each voxel.

    The same as appending one channel per axis with its coordinate to the input
    and applying
    `keras.layers.Conv3D`, without a copy of the input. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247), in three
    dimensions.

    Args:
        filters, kernel_size, ...: All arguments of `keras.layers.Conv3D`, in
            the same order.
        use_radius: Boolean, whether the layer also sees the distance `r` of
            each voxel from the middle of the volume, in the units of
            `coordinate_range`.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last voxel of each axis; or one such pair per axis; or
            `"pixel"` for 0, 1, 2, ... `first` may be above `last`. An axis of
            size 1 gets the middle of its range (0 in pixels).
        radius_center: Float, or one float an axis: the point from which the
            radius is measured. Defaults to the middle.

    Input shape:

    - If `data_format="channels_last"`:
        A 5D tensor with shape: `(batch_size, dim1, dim2, dim3, channels)`
    - If `data_format="channels_first"`:
        A 5D tensor with shape: `(batch_size, channels, dim1, dim2, dim3)`

    Or a list of that tensor and of ranges of shape `(batch_size, 3, 2)`: for
    each example, the coordinates of the first and of the last position of each
    axis. They take the place of `coordinate_range`.

    Output shape:

    - If `data_format="channels_last"`:
        A 5D tensor with shape:
        `(batch_size, new_dim1, new_dim2, new_dim3, filters)`
    - If `data_format="channels_first"`:
        A 5D tensor with shape:
        `(batch_size, filters, new_dim1, new_dim2, new_dim3)`

    The kernel has the shape `(*kernel_size, channels / groups + d, filters)`,
    with `d` = 3, or 4 with the radius; the slice of the coordinates is the last
    one, in the order of the axes, then `r`. With `groups > 1` every group sees
    the coordinates. Integer inputs are cast to the layer's compute dtype.

    Returns:
        A 5D tensor representing
        `activation(conv3d([inputs, coordinates], kernel) + bias)`.

    Raises:
        ValueError: if `coordinate_range` is malformed, if the input has the
            wrong rank or an undefined number of channels, and whenever
            `keras.layers.Conv3D` raises it.

    Example:

    >>> x = np.random.rand(4, 10, 10, 10, 128)
    >>> y = keras_coordconv.CoordConv3D(32, 3, activation="relu")(x)
    >>> y.shape
    (4, 8, 8, 8, 32)
    """
