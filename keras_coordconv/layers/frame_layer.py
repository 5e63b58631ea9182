"""Base class of all layers with a frame: their own, or one per call."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import Axes
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import axes_frames
from keras_coordconv.coordinates import check_float_dtype
from keras_coordconv.coordinates import features_of_affine
from keras_coordconv.coordinates import features_of_maps
from keras_coordconv.coordinates import features_of_range
from keras_coordconv.coordinates import standardize_axes
from keras_coordconv.coordinates import standardize_coordinate_range
from keras_coordconv.coordinates import standardize_frame


class FrameLayer:
    """Mixin that adds a frame to a Keras layer.

    Its other base class is a `keras.layers.Layer` with the attributes `rank`
    and `data_format`. A call can pass the coordinates of each example as
    `affine` or `coordinates`, which stay in float32, whatever the layer's
    dtype. The layer is built for the number of coordinates of its first call.
    Inside a graph the values cannot be checked: non-finite values give
    non-finite outputs.
    """

    compute_dtype: str
    rank: int

    # The arguments of `features_of_range`, and the like, that follow the frame.
    _feature_arguments: tuple = ()

    def __init__(
        self,
        *args: Any,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        align: Align = "centers",
        axes: Axes = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_float_dtype(self.compute_dtype)
        own_axes = standardize_axes(axes, self.rank)
        self.coordinate_range = standardize_coordinate_range(
            coordinate_range, len(own_axes)
        )
        self._frames = axes_frames(self.coordinate_range, align, own_axes)
        self.align = align
        self.axes = None if axes is None else own_axes
        # The first call may have another number of coordinates.
        self._coordinate_count = len(own_axes)
        # Keras would cast the frames too: half precision would round them.
        self._convert_input_args = False

    def __call__(self, inputs, affine=None, coordinates=None, *args, **kwargs):
        inputs = self.dtype_policy.convert_input(
            inputs, autocast=False, dtype=self.compute_dtype
        )
        frame = _given(affine, coordinates)
        count = self._count_coordinates(frame)
        if not self.built:
            self._coordinate_count = count
        elif count != self._coordinate_count:
            raise ValueError(
                f"{self.name} was built for {self._coordinate_count} "
                f"coordinates. Received: {count} coordinates"
            )
        return super().__call__(inputs, *args, **frame, **kwargs)

    def build_from_config(self, config):
        if config:
            config = dict(config)
            self._coordinate_count = config.pop(
                "coordinate_count", self._coordinate_count
            )
            super().build_from_config(config)

    def get_build_config(self):
        config = super().get_build_config()
        if config:
            config["coordinate_count"] = self._coordinate_count
        return config

    def _count_coordinates(self, frame):
        """Returns the number of coordinates of a call with this frame.

        Raises:
            ValueError: if the frame is malformed or conflicts with `axes`.
        """
        if not frame:
            return len(self._frames)
        if len(frame) > 1:
            raise ValueError(
                "Pass either `affine` or `coordinates`. Received: both"
            )
        ((name, value),) = frame.items()
        if self.axes is not None:
            raise ValueError(
                "`axes` cannot be combined with `affine` or `coordinates`. "
                f"Received: `{name}` in a call of {self.name}, which has "
                f"axes={self.axes}"
            )
        shape = tuple(getattr(value, "shape", np.shape(value)))
        axis = -2 if name == "affine" else -1
        if len(shape) < 3 or shape[axis] is None:
            raise ValueError(
                f"`{name}` must have a batch axis and a known number of "
                f"coordinates. Received: {name} of shape {shape}"
            )
        return shape[axis]

    def _standardize_frame(self, inputs, affine, coordinates):
        """Checks the frame of a call and converts it to float32.

        Returns:
            Dictionary with `affine` or `coordinates`, or an empty one.

        Raises:
            ValueError: if the frame does not match the inputs.
        """
        sizes = {
            "affine": ("d", self.rank + 1),
            "coordinates": (*self._spatial_shape(inputs), "d"),
        }
        return {
            name: standardize_frame(name, value, sizes[name], inputs.shape[0])
            for name, value in _given(affine, coordinates).items()
        }

    def _features(self, spatial_shape, affine=None, coordinates=None):
        """Computes the features of the coordinates, channels last, in float32.

        Returns:
            Tensor of shape `(batch, *spatial_shape, channels)`, with a batch
            axis of 1 if it is the same for all examples.
        """
        arguments = self._feature_arguments
        if affine is not None:
            return features_of_affine(spatial_shape, affine, *arguments)
        if coordinates is not None:
            return features_of_maps(coordinates, *arguments)
        features = features_of_range(spatial_shape, self._frames, *arguments)
        return ops.expand_dims(features, 0)

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _input_channels(self, input_shape):
        """Returns the number of channels of the layer's input.

        Raises:
            ValueError: if the shape has the wrong rank or no channel count.
        """
        channels = None
        if len(input_shape) == self.rank + 2:
            channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"The input of {type(self).__name__} must have rank "
                f"{self.rank + 2}: batch, spatial axes and a defined channel "
                f"axis (data_format={self.data_format!r}). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return channels

    def _spatial_shape(self, inputs):
        """Returns the spatial sizes: integers, or scalar tensors if unknown."""
        shape = ops.shape(inputs)
        if self.data_format == "channels_last":
            return shape[1:-1]
        return shape[2:]

    def _to_data_format(self, tensor):
        """Converts a tensor with the channels last to the layer's format."""
        if self.data_format == "channels_first":
            return ops.moveaxis(tensor, -1, 1)
        return tensor

    def get_config(self):
        names = ("coordinate_range", "align", "axes")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


def _given(affine, coordinates):
    frame = {"affine": affine, "coordinates": coordinates}
    return {name: value for name, value in frame.items() if value is not None}


def standardize_data_format(data_format):
    """Returns `data_format`, or Keras's default for `None`.

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
