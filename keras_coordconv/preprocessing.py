"""Crops, flips and zooms that return the ranges of what they leave.

Each cuts a window out of every image, with its ends anywhere, and gives it a
size. The inputs are `[images, ranges]`, and so are the outputs.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_coordconv.ranges import as_floats
from keras_coordconv.ranges import check_ranges
from keras_coordconv.ranges import ends_after_resizing
from keras_coordconv.ranges import ranges_at


class BaseWindow(keras.layers.Layer):
    """Cuts windows out of images: the engine of all layers here.

    Args:
        dtype: The dtype policy. Half precision would round the ranges.
    """

    interpolation = "nearest"
    # Those of its arguments that are in the layer's config.
    arguments: tuple[str, ...] = ()

    def __init__(self, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)

    def _windows(self, size, batch, training):
        """The windows to cut.

        Args:
            size: Tuple of the size of each axis: integers, or scalar tensors
                where they are not known.
            batch: Integer or scalar tensor, the number of images.
            training: Boolean.

        Returns:
            New size, and the positions of the first and of the last pixel of
            the windows: `(batch, rank)`, or `(rank,)` for all.
        """
        raise NotImplementedError

    def call(self, inputs, training=True):
        images, ranges = inputs
        is_batch = len(ranges.shape) == 3
        if not is_batch:
            images, ranges = images[None], ranges[None]
        batch, *size, _ = ops.shape(images)
        check_ranges(ranges, images.shape[0], size)
        new_size, *ends = self._windows(size, batch, training)
        ends = [ops.broadcast_to(end, (batch, len(size))) for end in ends]
        images = ops.vectorized_map(
            lambda image_and_ends: self._cut(size, new_size, *image_and_ends),
            (images, *ends),
        )
        ranges = ranges_at(ranges, size, *ends)
        return [images, ranges] if is_batch else [images[0], ranges[0]]

    def _cut(self, size, new_size, image, first, last):
        """One window of one image."""
        ends = as_floats(size) - 1
        gaps = ops.maximum(as_floats(new_size) - 1, 1.0)
        for axis in range(len(size)):
            index = ops.arange(new_size[axis], dtype="float32")
            reach = last[axis] - first[axis]
            positions = first[axis] + index * reach / gaps[axis]
            # Outside of the image, its edge goes on.
            positions = ops.clip(positions, 0.0, ends[axis])
            below = ops.floor(positions)
            if self.interpolation == "nearest":
                below = ops.floor(positions + 0.5)
            rows = ops.take(image, ops.cast(below, "int32"), axis=axis)
            if self.interpolation == "linear":
                above = ops.cast(ops.minimum(below + 1, ends[axis]), "int32")
                weight = ops.reshape(
                    positions - below, (-1, *[1] * (len(size) - axis))
                )
                rows = ops.cast(rows, "float32")
                image = ops.cast(image, "float32")
                rows += weight * (ops.take(image, above, axis=axis) - rows)
            image = rows
        return image

    def get_config(self):
        config = super().get_config()
        config.update({name: getattr(self, name) for name in self.arguments})
        return config


class BaseRandomWindow(BaseWindow):
    """Cuts windows at random, when it trains."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def _uniform(self, *shape):
        return keras.random.uniform(shape, seed=self.seed_generator)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordRandomCrop(BaseRandomWindow):
    """Crops each image at a random place, and tells which it was.

    Outside of training, it crops the middle. For images of one, two or three
    spatial axes, with the channels last; in a model, or in `tf.data` on the
    TensorFlow backend, for batches or for one image at a time. What belongs to
    each pixel, as its class, can come as another channel.

    Args:
        size: Tuple of integers, the size of each axis after.
        seed: Integer, or `None` for a random one.

    Input and output shape:
        A list of images, `(batch, *axes, channels)`, and of their ranges,
        `(batch, rank, 2)`; or of one image and its ranges, without the batch.

    Raises:
        ValueError: if `size` is malformed, if an axis is known to be shorter
            than it, or if the ranges cannot be those of the images.

    Example: crops, in the coordinates of the whole image

    >>> crop = keras_coordconv.CoordRandomCrop((32, 32))
    >>> whole = np.tile([-1.0, 1.0], (8, 2, 1))
    >>> crops, ranges = crop([np.zeros((8, 96, 96, 3)), whole])
    >>> crops.shape
    (8, 32, 32, 3)

    In `tf.data`:

    >>> dataset.map(lambda image, ranges: crop([image, ranges]))
    """

    arguments = ("size", "seed")

    def __init__(
        self, size: Sequence[int], seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.size = _standardize_size(size)

    def _windows(self, size, batch, training):
        _check_rank(self.size, size)
        if any(
            isinstance(count, int) and count < new_count
            for count, new_count in zip(size, self.size, strict=True)
        ):
            raise ValueError(
                "Each axis must be at least as long as the crop. "
                f"Received: images of size {size} for crops of {self.size}"
            )
        room = as_floats(size) - as_floats(self.size)
        place = 0.5 * ops.ones_like(room)
        if training:
            place = self._uniform(batch, len(size))
        first = ops.minimum(ops.floor(place * (room + 1)), room)
        return self.size, first, first + (as_floats(self.size) - 1)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordRandomFlip(BaseRandomWindow):
    """Flips each image along some of the axes, and its ranges with it.

    Outside of training, it does nothing.

    Args:
        axes: Integer or tuple of integers, the spatial axes, from 0 on, along
            each of which half of the images are flipped. The default is the
            second one: left and right of an image.
        seed: Integer, or `None` for a random one.

    Input and output shape:
        As of `CoordRandomCrop`.

    Example:

    >>> flip = keras_coordconv.CoordRandomFlip(axes=(0, 1))
    >>> flipped, ranges = flip([images, ranges])
    """

    arguments = ("axes", "seed")

    def __init__(
        self,
        axes: int | Sequence[int] = 1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.axes = tuple(np.atleast_1d(axes).tolist())

    def _windows(self, size, batch, training):
        if not {*self.axes} <= {*range(len(size))}:
            raise ValueError(
                "`axes` must be spatial axes of the images. "
                f"Received: axes={self.axes} for {len(size)} axes"
            )
        end = as_floats(size) - 1
        first = 0.0 * end
        if training:
            may_flip = np.isin(np.arange(len(size)), self.axes)
            flips = self._uniform(batch, len(size)) < 0.5
            first = ops.where(ops.logical_and(flips, may_flip), end, first)
        return size, first, end - first


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordRandomZoom(BaseRandomWindow):
    """Zooms into the middle of each image or out, and its ranges with it.

    The size stays. Beyond the edge of an image, the edge goes on. Outside of
    training, it does nothing.

    Args:
        factor: Pair of floats, the least and the greatest zoom: at 2, things
            are twice as large, and half of each axis is seen.
        interpolation: String, `"linear"`, or `"nearest"` for classes.
        seed: Integer, or `None` for a random one.

    Input and output shape:
        As of `CoordRandomCrop`. With `"linear"`, the images become float32.

    Example:

    >>> zoom = keras_coordconv.CoordRandomZoom((0.8, 1.25))
    >>> zoomed, ranges = zoom([images, ranges])
    """

    arguments = ("factor", "interpolation", "seed")

    def __init__(
        self,
        factor: Sequence[float],
        interpolation: str = "linear",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.interpolation = _standardize_interpolation(interpolation)
        self.factor = tuple(factor)
        if len(self.factor) != 2 or not 0 < self.factor[0] <= self.factor[1]:
            raise ValueError(
                "`factor` must be the least and the greatest zoom, both above "
                f"0. Received: factor={factor!r}"
            )

    def _windows(self, size, batch, training):
        middle = (as_floats(size) - 1) / 2
        factor = 1.0
        if training:
            least, greatest = self.factor
            factor = least + (greatest - least) * self._uniform(batch, 1)
        reach = middle / factor
        return size, middle - reach, middle + reach


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordResizing(BaseWindow):
    """Resizes images, and gives the ranges of the new pixels.

    Args:
        size: Tuple of integers, the size of each axis after.
        interpolation: String, `"linear"`, or `"nearest"` for classes.

    Input and output shape:
        As of `CoordRandomCrop`. With `"linear"`, the images become float32.

    Example:

    >>> resize = keras_coordconv.CoordResizing((64, 64))
    >>> resized, ranges = resize([images, ranges])
    """

    arguments = ("size", "interpolation")

    def __init__(
        self,
        size: Sequence[int],
        interpolation: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.interpolation = _standardize_interpolation(interpolation)
        self.size = _standardize_size(size)

    def _windows(self, size, batch, training):
        _check_rank(self.size, size)
        return self.size, *ends_after_resizing(size, self.size)


def _standardize_interpolation(interpolation):
    if interpolation not in ("linear", "nearest"):
        raise ValueError(
            '`interpolation` must be "linear" or "nearest". '
            f"Received: interpolation={interpolation!r}"
        )
    return interpolation


def _standardize_size(size):
    if not (
        isinstance(size, (list, tuple))
        and size
        and all(isinstance(n, numbers.Integral) and n > 0 for n in size)
    ):
        raise ValueError(
            "`size` must hold one positive integer per axis. "
            f"Received: size={size!r}"
        )
    return tuple(map(int, size))


def _check_rank(new_size, size):
    if len(new_size) != len(size):
        raise ValueError(
            "`size` must have one integer per spatial axis of the images. "
            f"Received: size={new_size} for {len(size)} axes"
        )
