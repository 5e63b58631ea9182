"""Encodings: features that replace the coordinates in the layers.

An encoding is a callable from coordinates of shape `(..., d)` to features of
shape `(..., e)`, in float32. A custom function works, too, if it is registered
with `keras.saving.register_keras_serializable`.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_coordconv.coordinates import Tensor


class _Encoding:
    """Base class of the encodings. Their config is their attributes."""

    def get_config(self):
        return dict(vars(self))

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class FourierFeatures(_Encoding):
    """Sines and cosines of the coordinates, an octave apart.

    The features are `sin(pi * 2**k * x)` of each coordinate `x` for `k` from 0
    to `bands - 1`, then all cosines, and the coordinates themselves if
    `include_coordinates` is `True`. With coordinates in [-1, 1], the first band
    has one period per image.

    Args:
        bands: Positive integer, the number of octaves.
        include_coordinates: Boolean, whether the coordinates come first.

    Example:

    >>> encoding = keras_coordconv.FourierFeatures(bands=6)
    >>> layer = keras_coordconv.CoordConv2D(16, 1, encoding=encoding)
    """

    def __init__(self, bands: int, include_coordinates: bool = False) -> None:
        self.bands = _positive_integer("bands", bands)
        self.include_coordinates = bool(include_coordinates)

    def __call__(self, coordinates: Tensor) -> Tensor:
        octaves = 0.5 * 2.0 ** np.arange(self.bands, dtype="float32")
        periods = ops.expand_dims(coordinates, -1) * ops.convert_to_tensor(
            octaves
        )
        # With -1 for it, TensorFlow would not know the number of channels.
        count = coordinates.shape[-1] * self.bands
        shape = (*ops.shape(coordinates)[:-1], count)
        features = _sine_and_cosine(ops.reshape(periods, shape))
        if self.include_coordinates:
            features.insert(0, coordinates)
        return ops.concatenate(features, axis=-1)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class GaussianFourierFeatures(_Encoding):
    """Sines and cosines of random projections of the coordinates.

    The features are `sin(2 * pi * B @ x)`, followed by the cosines. The entries
    of the matrix `B`, of shape `(count, d)`, are drawn from a normal
    distribution once, with the given seed.

    Args:
        count: Positive integer, number of projections, which is half the number
            of features.
        scale: Float, standard deviation of the frequencies, in periods per unit
            of the coordinates.
        seed: Integer. The same seed gives the same matrix.

    Example:

    >>> encoding = keras_coordconv.GaussianFourierFeatures(32, scale=2.0)
    >>> layer = keras_coordconv.CoordConv2D(16, 1, encoding=encoding)
    """

    def __init__(self, count: int, scale: float = 1.0, seed: int = 0) -> None:
        self.count = _positive_integer("count", count)
        self.scale = float(scale)
        self.seed = int(seed)

    def __call__(self, coordinates: Tensor) -> Tensor:
        normal = np.random.default_rng(self.seed).standard_normal
        matrix = normal((coordinates.shape[-1], self.count)) * self.scale
        periods = ops.matmul(
            coordinates, ops.convert_to_tensor(matrix, "float32")
        )
        return ops.concatenate(_sine_and_cosine(periods), axis=-1)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class Periodic(_Encoding):
    """Sine and cosine of coordinates that repeat, such as longitudes.

    A coordinate `x` that repeats becomes `sin(2 * pi * x / period)` and
    `cos(2 * pi * x / period)`, which have no seam. Other coordinates are not
    changed; the order is kept.

    Args:
        period: Float, in the units of the coordinates.
        coordinates: Tuple of integers, indices of the coordinates that repeat,
            starting at 0. Defaults to all of them.

    Example: latitude and longitude in degrees

    >>> encoding = keras_coordconv.Periodic(360.0, coordinates=(1,))
    >>> encoding(np.array([[30.0, 90.0]]))
    [[30., 1., 0.]]
    """

    def __init__(
        self, period: float, coordinates: Sequence[int] | None = None
    ) -> None:
        if not period > 0:
            raise ValueError(
                f"`period` must be above 0. Received: period={period!r}"
            )
        self.period = float(period)
        self.coordinates = None if coordinates is None else tuple(coordinates)

    def __call__(self, coordinates: Tensor) -> Tensor:
        count = coordinates.shape[-1]
        repeating = tuple(range(count))
        if self.coordinates is not None:
            repeating = self.coordinates
            if not {*repeating} <= {*range(count)}:
                raise ValueError(
                    "`coordinates` must be indices of coordinates, from 0 to "
                    f"{count - 1}. Received: coordinates={repeating}"
                )
        features = []
        for number in range(count):
            own = coordinates[..., number : number + 1]
            if number in repeating:
                features += _sine_and_cosine(own / self.period)
            else:
                features.append(own)
        return ops.concatenate(features, axis=-1)


def _sine_and_cosine(periods):
    # Subtracting whole periods is exact, and keeps the sine precise.
    angles = (periods - ops.round(periods)) * (2 * math.pi)
    return [ops.sin(angles), ops.cos(angles)]


def _positive_integer(name, value):
    if not (isinstance(value, int) and value > 0):
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return value
