"""Layers that append the coordinates to their input as channels."""

from typing import Any

import keras

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import RadiusCenter
from keras_coordconv.layers.coordinate_layer import CoordinateLayer
from keras_coordconv.layers.coordinate_layer import own_shape


class BaseCoordinateChannel(CoordinateLayer, keras.layers.Layer):
    """Appends coordinate channels, for any rank: the engine of the family."""

    def __init__(
        self,
        use_radius: bool = False,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        data_format: str | None = None,
        *,
        radius_center: RadiusCenter = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            use_radius=use_radius,
            coordinate_range=coordinate_range,
            radius_center=radius_center,
            **kwargs,
        )
        self.data_format = standardize_data_format(data_format)

    def build(self, input_shape):
        self.input_spec = self._input_spec_for(
            input_shape, self._input_channels(own_shape(input_shape))
        )
        self.built = True

    def call(self, inputs):
        inputs, ranges = self._separate(inputs)
        return self._append_channels(
            inputs, self._coordinates(self._spatial_shape(inputs), ranges)
        )

    def compute_output_shape(self, input_shape):
        output_shape = list(own_shape(input_shape))
        output_shape[self._channel_axis] = (
            self._input_channels(output_shape) + self._coordinate_channels
        )
        return tuple(output_shape)

    def get_config(self):
        config = super().get_config()
        config["data_format"] = self.data_format
        return config


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordinateChannel1D(BaseCoordinateChannel):
    """Appends the coordinates of each step as channels.

    The new channel is `i`, the coordinate of the step.
    The layer has no weights. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    It gives coordinates to any layer that follows. Where a convolution follows,
    `CoordConv1D` computes the same and is cheaper.

    Args:
        use_radius: Boolean, whether to append a last channel `r` with the
            distance of each step from the middle of the sequence, in the
            units of `coordinate_range`.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last step, or `"pixel"` for 0, 1, 2, ... `first` may be
            above `last`. A sequence of one step gets the middle of the range
            (0 in pixels).
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to Keras's `image_data_format`.
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

    As the input's, with `channels + 1` channels (`+ 2` with the radius), in
    the layer's compute dtype.

    Raises:
        ValueError: if an argument is malformed, or if the input has the wrong
            rank or an undefined number of channels.

    Example:

    >>> x = np.zeros((4, 10, 3))
    >>> keras_coordconv.CoordinateChannel1D()(x).shape
    (4, 10, 4)
    """

    rank = 1


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordinateChannel2D(BaseCoordinateChannel):
    """Appends the coordinates of each pixel as channels.

    The new channels are `i`, the row, and `j`, the column.
    The layer has no weights. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    It gives coordinates to any layer that follows. Where a convolution follows,
    `CoordConv2D` computes the same and is cheaper.

    Args:
        use_radius: Boolean, whether to append a last channel `r` with the
            distance of each pixel from the middle of the image, in the
            units of `coordinate_range`.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last pixel of each axis; or one such pair per axis; or
            `"pixel"` for 0, 1, 2, ... `first` may be above `last`. An axis of
            size 1 gets the middle of its range (0 in pixels).
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to Keras's `image_data_format`.
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

    As the input's, with `channels + 2` channels (`+ 3` with the radius), in
    the layer's compute dtype.

    Raises:
        ValueError: if an argument is malformed, or if the input has the wrong
            rank or an undefined number of channels.

    Example:

    >>> x = np.zeros((4, 10, 12, 3))
    >>> keras_coordconv.CoordinateChannel2D()(x).shape
    (4, 10, 12, 5)
    """

    rank = 2


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordinateChannel3D(BaseCoordinateChannel):
    """Appends the coordinates of each voxel as channels.

    The new channels are the coordinates along each axis.
    The layer has no weights. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    It gives coordinates to any layer that follows. Where a convolution follows,
    `CoordConv3D` computes the same and is cheaper.

    Args:
        use_radius: Boolean, whether to append a last channel `r` with the
            distance of each voxel from the middle of the volume, in the
            units of `coordinate_range`.
        coordinate_range: Pair `(first, last)`, the coordinates of the first
            and of the last voxel of each axis; or one such pair per axis; or
            `"pixel"` for 0, 1, 2, ... `first` may be above `last`. An axis of
            size 1 gets the middle of its range (0 in pixels).
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to Keras's `image_data_format`.
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

    As the input's, with `channels + 3` channels (`+ 4` with the radius), in
    the layer's compute dtype.

    Raises:
        ValueError: if an argument is malformed, or if the input has the wrong
            rank or an undefined number of channels.

    Example:

    >>> x = np.zeros((4, 10, 12, 14, 3))
    >>> keras_coordconv.CoordinateChannel3D()(x).shape
    (4, 10, 12, 14, 6)
    """

    rank = 3


def standardize_data_format(data_format):
    """`data_format`, or Keras's default for `None`.

    Raises:
        ValueError: if it is not one of the two formats.
    """
    if data_format is None:
        return keras.config.image_data_format()
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(
            '`data_format` must be "channels_first" or "channels_last". '
            f"Received: data_format={data_format!r}"
        )
    return data_format
