"""Base class of all layers that use coordinates as features."""

from typing import Any

import keras
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import Axes
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import Encoding
from keras_coordconv.coordinates import RadiusCenter
from keras_coordconv.coordinates import count_features
from keras_coordconv.coordinates import standardize_radius_center
from keras_coordconv.layers.frame_layer import FrameLayer
from keras_coordconv.layers.signature import CombinedSignature

COORDINATE_ARGUMENTS = (
    "use_radius",
    "coordinate_range",
    "align",
    "axes",
    "radius_center",
    "encoding",
)


class CoordinateLayer(FrameLayer):
    """Mixin that adds coordinates to a Keras layer.

    The arguments of the Keras layer keep their order. The arguments in
    `COORDINATE_ARGUMENTS` follow them and are keyword-only.
    """

    __signature__ = CombinedSignature(COORDINATE_ARGUMENTS)

    def __init__(
        self,
        *args: Any,
        use_radius: bool = False,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        align: Align = "centers",
        axes: Axes = None,
        radius_center: RadiusCenter = None,
        encoding: Encoding = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args,
            coordinate_range=coordinate_range,
            align=align,
            axes=axes,
            **kwargs,
        )
        self.use_radius = bool(use_radius)
        self.radius_center = standardize_radius_center(radius_center)
        self.encoding = _standardize_encoding(encoding)

    @property
    def _feature_arguments(self):
        return self.use_radius, self.radius_center, self.encoding

    @property
    def _coordinate_channels(self):
        """The number of channels that the coordinates add to the input."""
        return count_features(
            self._coordinate_count, self.encoding, self.use_radius
        )

    def _append_channels(self, tensor, features):
        """Appends channels that depend on the position.

        Args:
            tensor: Tensor in the layer's data format.
            features: Tensor with the channels last, and a batch axis of 1 if
                it is the same for the whole batch.
        """
        features = self._to_data_format(ops.cast(features, tensor.dtype))
        features = ops.broadcast_to(
            features, (ops.shape(tensor)[0], *ops.shape(features)[1:])
        )
        return ops.concatenate([tensor, features], axis=self._channel_axis)

    def get_config(self):
        own = {name: getattr(self, name) for name in COORDINATE_ARGUMENTS}
        encoding = keras.saving.serialize_keras_object(self.encoding)
        return {**super().get_config(), **own, "encoding": encoding}


def _standardize_encoding(encoding):
    """Returns the callable of an `encoding` argument, which may be a config."""
    if isinstance(encoding, dict):
        encoding = keras.saving.deserialize_keras_object(encoding)
    if not (encoding is None or callable(encoding)):
        raise ValueError(
            "`encoding` must be None or a callable from coordinates to "
            f"features. Received: encoding={encoding!r}"
        )
    return encoding
