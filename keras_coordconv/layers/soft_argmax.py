"""Soft-argmax: from maps of logits to coordinates."""

import math
from typing import Any

import keras
from keras import ops

from keras_coordconv.coordinates import DEFAULT_RANGE
from keras_coordconv.coordinates import Align
from keras_coordconv.coordinates import Axes
from keras_coordconv.coordinates import CoordinateRange
from keras_coordconv.coordinates import standardize_frame
from keras_coordconv.layers.frame_layer import FrameLayer
from keras_coordconv.layers.frame_layer import standardize_data_format


class BaseSoftArgmax(FrameLayer, keras.layers.Layer):
    """Base class of the soft-argmax layers, for any rank."""

    def __init__(
        self,
        temperature: float = 1.0,
        data_format: str | None = None,
        *,
        trainable_temperature: bool = False,
        return_variance: bool = False,
        return_map: bool = False,
        coordinate_range: CoordinateRange = DEFAULT_RANGE,
        align: Align = "centers",
        axes: Axes = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            coordinate_range=coordinate_range, align=align, axes=axes, **kwargs
        )
        if not 0 < temperature < math.inf:
            raise ValueError(
                "`temperature` must be a finite number above 0. "
                f"Received: temperature={temperature!r}"
            )
        self.temperature = float(temperature)
        self.data_format = standardize_data_format(data_format)
        self.trainable_temperature = bool(trainable_temperature)
        self.return_variance = bool(return_variance)
        self.return_map = bool(return_map)
        self.supports_masking = True

    def build(self, input_shape):
        channels = self._input_channels(input_shape)
        self.input_spec = keras.InputSpec(
            ndim=self.rank + 2, axes={self._channel_axis: channels}
        )
        if self.trainable_temperature:
            start = math.log(self.temperature)
            self.log_temperature = self.add_weight(
                name="log_temperature",
                shape=(),
                initializer=keras.initializers.Constant(start),
                autocast=False,
            )
        self.built = True

    def call(self, inputs, affine=None, coordinates=None, mask=None):
        frame = self._standardize_frame(inputs, affine, coordinates)
        features = self._features(self._spatial_shape(inputs), **frame)
        features = ops.cast(features, self._wide_dtype)
        first = 1 if self.data_format == "channels_last" else 2
        positions = tuple(range(first, first + self.rank))

        temperature = self.temperature
        if self.trainable_temperature:
            log_temperature = ops.convert_to_tensor(self.log_temperature)
            temperature = ops.exp(ops.cast(log_temperature, self._wide_dtype))
        logits = counted = ops.cast(inputs, self._wide_dtype)
        if mask is not None:
            mask = self._standardize_mask(mask, inputs)
            counted = ops.where(mask, logits, -1e30)
        highest = ops.max(counted, axis=positions, keepdims=True)
        # Subtract first: this is exact wherever a weight is not negligible.
        logits = (logits - ops.stop_gradient(highest)) / temperature
        if mask is not None:
            # Not -inf: if all positions are masked, they get equal weights.
            logits = ops.where(mask, logits, -80.0)
        weights = ops.exp(logits)
        weights = weights / ops.sum(weights, axis=positions, keepdims=True)

        means, variances = [], []
        for number in range(self._coordinate_count):
            values = features[..., number]
            values = ops.expand_dims(values, self._channel_axis)
            mean = ops.sum(weights * values, axis=positions, keepdims=True)
            means.append(ops.squeeze(mean, positions))
            if self.return_variance:
                squares = ops.square(values - mean)
                variances.append(ops.sum(weights * squares, axis=positions))
        return self._requested(
            ops.stack(means, axis=-1),
            ops.stack(variances or means, axis=-1),
            ops.cast(weights, self.compute_dtype),
        )

    def compute_output_shape(self, input_shape):
        channels = self._input_channels(input_shape)
        shape = (input_shape[0], channels, self._coordinate_count)
        return self._requested(shape, shape, tuple(input_shape))

    def compute_output_spec(self, inputs, **call_arguments):
        channels = self._input_channels(inputs.shape)
        shape = (inputs.shape[0], channels, self._coordinate_count)
        return self._requested(
            keras.KerasTensor(shape, self._wide_dtype),
            keras.KerasTensor(shape, self._wide_dtype),
            keras.KerasTensor(inputs.shape, self.compute_dtype),
        )

    def compute_mask(self, inputs, previous_mask):
        return None  # The outputs have no positions.

    @property
    def _wide_dtype(self):
        """Half precision would round the coordinates."""
        return keras.backend.result_type(self.compute_dtype, "float32")

    def _requested(self, means, variances, weights):
        outputs = (
            means,
            *([variances] if self.return_variance else []),
            *([weights] if self.return_map else []),
        )
        return outputs if len(outputs) > 1 else means

    def _standardize_mask(self, mask, inputs):
        """Converts the mask to booleans that broadcast against the inputs."""
        mask = standardize_frame(
            "mask",
            ops.cast(mask, "float32"),
            self._spatial_shape(inputs),
            inputs.shape[0],
        )
        return ops.expand_dims(mask > 0, self._channel_axis)

    def get_config(self):
        names = (
            *("temperature", "data_format", "trainable_temperature"),
            *("return_variance", "return_map"),
        )
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_coordconv")
class SoftArgmax1D(BaseSoftArgmax):
    """Layer that computes the mean coordinate of each channel's softmax.

    It is `SoftArgmax2D` with one spatial axis, and has the same arguments and
    call arguments.

    Example:

    >>> x = np.random.rand(4, 10, 3)
    >>> keras_coordconv.SoftArgmax1D()(x).shape
    (4, 3, 1)
    """

    rank = 1


@keras.saving.register_keras_serializable(package="keras_coordconv")
class SoftArgmax2D(BaseSoftArgmax):
    """Layer that computes the mean coordinates of each channel's softmax.

    It is also known as spatial softmax, DSNT or integral regression, and
    converts maps back to coordinates, in the same frame as the CoordConv
    layers. The softmax of `inputs / temperature` is taken over the positions of
    each channel, and weights the mean of their coordinates.

    The softmax and the sums are computed in float32, so that half precision
    does not round the coordinates, and logits of any size are stable.

    Args:
        temperature: Float above 0. Near 0, the mean is the position of the
            maximum.
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to Keras's `image_data_format`.
        trainable_temperature: Boolean, whether to train the temperature, which
            starts at this value. (The weight is its logarithm, so that it stays
            above 0.)
        return_variance: Boolean, whether to also return the variances.
        return_map: Boolean, whether to also return the softmax.
        coordinate_range, align, axes: As for `CoordConv2D`.

    Call arguments:
        inputs: The logits, see below.
        affine, coordinates: As for `CoordConv2D`.
        mask: Boolean tensor of shape `(batch_size or 1, height, width)`, `True`
            at the positions to use. Without a mask, or if an example has no
            such position, all positions are used.

    Input shape:

    - If `data_format="channels_last"`:
        A 4D tensor with shape: `(batch_size, height, width, channels)`
    - If `data_format="channels_first"`:
        A 4D tensor with shape: `(batch_size, channels, height, width)`

    Returns:
        Float32 tensor of shape `(batch_size, channels, d)`, with `d` = 2 unless
        `axes` or the frame of the call has another number of coordinates. With
        `return_variance` or `return_map`, a tuple of these coordinates, their
        variances, of the same shape, and the softmax, of the inputs' shape.

    Raises:
        ValueError: if an argument is malformed, or if the input has the wrong
            rank or an undefined number of channels.

    Example:

    >>> x = np.random.rand(4, 10, 12, 3)
    >>> keras_coordconv.SoftArgmax2D(coordinate_range="pixel")(x).shape
    (4, 3, 2)
    """

    rank = 2


@keras.saving.register_keras_serializable(package="keras_coordconv")
class SoftArgmax3D(BaseSoftArgmax):
    """Layer that computes the mean coordinates of each channel's softmax.

    It is `SoftArgmax2D` with three spatial axes, and has the same arguments and
    call arguments.

    Example:

    >>> x = np.random.rand(4, 10, 12, 14, 3)
    >>> keras_coordconv.SoftArgmax3D()(x).shape
    (4, 3, 3)
    """

    rank = 3
