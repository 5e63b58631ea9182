"""Layers that append the coordinates to their input as channels."""

from typing import Any

import keras
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import Axes
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import Encoding
from keras_coordconv.coordinates import RadiusCenter
from keras_coordconv.layers.coordinate_layer import CoordinateLayer
from keras_coordconv.layers.frame_layer import standardize_data_format


class BaseCoordinateChannel(CoordinateLayer, keras.layers.Layer):
    """Base class of the layers that append coordinates, for any rank."""

    def __init__(
        self,
        use_radius: bool = False,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        data_format: str | None = None,
        *,
        align: Align = "centers",
        axes: Axes = None,
        radius_center: RadiusCenter = None,
        encoding: Encoding = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            use_radius=use_radius,
            coordinate_range=coordinate_range,
            align=align,
            axes=axes,
            radius_center=radius_center,
            encoding=encoding,
            **kwargs,
        )
        self.data_format = standardize_data_format(data_format)

    def build(self, input_shape):
        channels = self._input_channels(input_shape)
        self.input_spec = keras.InputSpec(
            ndim=self.rank + 2, axes={self._channel_axis: channels}
        )
        self.built = True

    def call(self, inputs, affine=None, coordinates=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        frame = self._standardize_frame(inputs, affine, coordinates)
        return self._append_channels(
            inputs, self._features(self._spatial_shape(inputs), **frame)
        )

    def compute_output_shape(self, input_shape):
        output_shape = list(input_shape)
        output_shape[self._channel_axis] = (
            self._input_channels(input_shape) + self._coordinate_channels
        )
        return tuple(output_shape)

    def get_config(self):
        config = super().get_config()
        config["data_format"] = self.data_format
        return config


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordinateChannel1D(BaseCoordinateChannel):
    """Appends the coordinates of each step as channels.

    The new channel is `i`, the coordinate of the step. Arguments, shapes and
    errors are the same as for `CoordinateChannel2D`, with one spatial axis. If
    a convolution follows, `CoordConv1D` computes the same at a lower cost.

    Example:

    >>> x = np.zeros((4, 10, 3))
    >>> keras_coordconv.CoordinateChannel1D()(x).shape
    (4, 10, 4)
    """

    rank = 1


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordinateChannel2D(BaseCoordinateChannel):
    """Appends the coordinates of each pixel as channels.

    The new channels are `i`, the row, and `j`, the column. The layer has no
    weights. Section 3 of
    [the CoordConv paper](https://arxiv.org/abs/1807.03247).

    Any layer can follow. If a convolution follows, `CoordConv2D` computes the
    same at a lower cost.

    Args:
        use_radius, coordinate_range: As for `CoordConv2D`.
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to Keras's `image_data_format`.
        align, axes, radius_center, encoding: As for `CoordConv2D`.

    Call arguments: as for `CoordConv2D`.

    Input shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, height, width, channels)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, channels, height, width)`

    Output shape:

    The same as the input shape, but with `channels + 2` channels (`+ 3` with
    the radius). The dtype is the layer's compute dtype.

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

    The new channels are the coordinates along each axis. Arguments, shapes and
    errors are the same as for `CoordinateChannel2D`, with three spatial axes.
    If a convolution follows, `CoordConv3D` computes the same at a lower cost.

    Example:

    >>> x = np.zeros((4, 10, 12, 14, 3))
    >>> keras_coordconv.CoordinateChannel3D()(x).shape
    (4, 10, 12, 14, 6)
    """

    rank = 3
