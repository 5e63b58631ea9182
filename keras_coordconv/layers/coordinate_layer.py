"""What all layers with coordinates share: their arguments, the grid."""

from typing import Any

import keras
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import RadiusCenter
from keras_coordconv.coordinates import coordinate_channels
from keras_coordconv.coordinates import coordinate_grid
from keras_coordconv.coordinates import standardize_coordinate_range
from keras_coordconv.coordinates import standardize_radius_center
from keras_coordconv.layers.signature import CombinedSignature
from keras_coordconv.ranges import check_ranges
from keras_coordconv.ranges import coordinate_grids

COORDINATE_ARGUMENTS = ("use_radius", "coordinate_range", "radius_center")


class CoordinateLayer:
    """Mixin that gives a Keras layer the coordinates of its input.

    It goes before a `keras.layers.Layer` that has the attributes `rank` and
    `data_format`. The arguments of that layer keep their order;
    `COORDINATE_ARGUMENTS` come after them, by keyword only.

    The layer's input is a tensor, or a list of that tensor and of the ranges of
    the coordinates, which then differ by example: `(batch, rank, 2)`. The
    ranges stay in float32, whatever the layer computes in. `check_ranges` says
    what is an error. In a graph, which has no values yet, an example with a
    bound that is not finite gets outputs that are not, an axis with the same
    bound twice has that coordinate everywhere, and the ranges of one example
    are those of all.
    """

    rank: int

    __signature__ = CombinedSignature(COORDINATE_ARGUMENTS)

    def __init__(
        self,
        *args: Any,
        use_radius: bool = False,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        radius_center: RadiusCenter = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.use_radius = bool(use_radius)
        self.coordinate_range = standardize_coordinate_range(
            coordinate_range, self.rank
        )
        self.radius_center = standardize_radius_center(radius_center, self.rank)
        # Known when the layer is built: an input alone, or with ranges.
        self.input_spec = None
        # Keras would cast the ranges too: half precision would round them.
        self._convert_input_args = False

    def __call__(self, inputs, *args, **kwargs):
        def to_tensor(array):
            return self.dtype_policy.convert_input(
                array, autocast=False, dtype=self.compute_dtype
            )

        inputs = keras.tree.map_structure(to_tensor, inputs)
        return super().__call__(inputs, *args, **kwargs)

    @property
    def _coordinate_channels(self):
        """Number of channels that the coordinates add to the input."""
        return coordinate_channels(self.rank, self.use_radius)

    @property
    def _takes_ranges(self):
        """Whether the layer is built for ranges beside its input."""
        return isinstance(self.input_spec, list)

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _input_channels(self, input_shape):
        """Number of channels of the layer's own input.

        Args:
            input_shape: Shape of the input, without that of ranges.

        Raises:
            ValueError: if the shape has the wrong rank or no channel count.
        """
        if len(input_shape) != self.rank + 2:
            raise ValueError(
                f"The input of {type(self).__name__} must have rank "
                f"{self.rank + 2}: batch, {self.rank} spatial "
                f"{'axis' if self.rank == 1 else 'axes'} and channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"The channel axis of the input of {type(self).__name__} must "
                f"be defined (data_format={self.data_format!r}). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return channels

    def _input_spec_for(self, input_shape, channels):
        """Input specification of a layer built for so many channels."""
        spec = keras.InputSpec(
            ndim=self.rank + 2, axes={self._channel_axis: channels}
        )
        if _has_ranges(input_shape):
            return [spec, keras.InputSpec()]  # `check_ranges` says more.
        return spec

    def _separate(self, inputs):
        """The input in the compute dtype, and the ranges or `None`.

        Raises:
            ValueError: if the ranges cannot be those of the input.
        """
        ranges = None
        if isinstance(inputs, (list, tuple)):
            inputs, ranges = inputs
            ranges = ops.cast(ranges, "float32")
            check_ranges(ranges, inputs.shape[0], self._spatial_shape(inputs))
        return ops.cast(inputs, self.compute_dtype), ranges

    def _spatial_shape(self, inputs):
        """Sizes of the spatial axes: integers, or scalars where unknown."""
        shape = ops.shape(inputs)
        if self.data_format == "channels_last":
            return shape[1:-1]
        return shape[2:]

    def _coordinates(self, spatial_shape, ranges=None, dtype=None):
        """Coordinates, `(1, *spatial_shape, channels)`; a batch with ranges."""
        dtype = dtype or self.compute_dtype
        if ranges is not None:
            grids = coordinate_grids(
                spatial_shape, ranges, self.use_radius, self.radius_center
            )
            return ops.cast(grids, dtype)
        grid = coordinate_grid(
            spatial_shape,
            use_radius=self.use_radius,
            coordinate_range=self.coordinate_range,
            dtype=dtype,
            radius_center=self.radius_center,
        )
        return ops.expand_dims(grid, 0)

    def _to_data_format(self, position):
        """A tensor with the channels last, in the layer's data format."""
        if self.data_format == "channels_first":
            return ops.moveaxis(position, -1, 1)
        return position

    def _append_channels(self, tensor, position):
        """Appends channels that depend on the position.

        Args:
            tensor: Tensor in the layer's data format.
            position: Tensor with the channels last, and a batch axis of 1 where
                it is the same for the whole batch.
        """
        position = self._to_data_format(position)
        position = ops.broadcast_to(
            position, (ops.shape(tensor)[0], *ops.shape(position)[1:])
        )
        return ops.concatenate([tensor, position], axis=self._channel_axis)

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(own_shape(input_shape))

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "use_radius": self.use_radius,
                "coordinate_range": self.coordinate_range,
                "radius_center": self.radius_center,
            }
        )
        return config


def own_shape(input_shape):
    """Shape of a layer's own input, without that of ranges beside it.

    Raises:
        ValueError: if there are not one or two inputs.
    """
    if not _has_ranges(input_shape):
        return tuple(input_shape)
    if len(input_shape) != 2:
        raise ValueError(
            "The input must be a tensor, or a list of a tensor and of ranges. "
            f"Received: {len(input_shape)} tensors, of shapes {input_shape}"
        )
    return tuple(input_shape[0])


def _has_ranges(input_shape):
    return isinstance(input_shape[0], (list, tuple))
