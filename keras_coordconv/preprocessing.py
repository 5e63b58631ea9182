"""Preprocessing and augmentation of images together with their frames.

For each geometric layer of Keras, an index map converts an index of the new
image to the index in the old image. The new frame is the old frame applied to
the result.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_coordconv")
class CoordAugmentation(keras.layers.Wrapper):
    """Applies a Keras preprocessing layer to images and to their frames.

    It works wherever the layer does: in a model or in `tf.data`, on any
    backend. The layer also transforms labels, bounding boxes and segmentation
    masks, with the same random transformation. Layers that do not move pixels,
    such as `RandomBrightness`, need no wrapper: they return `"affine"`
    unchanged.

    Args:
        layer: `CenterCrop`, `RandomCrop`, `RandomFlip`, `RandomRotation`,
            `RandomShear`, `RandomTranslation`, `RandomZoom` or `Resizing` of
            `keras.layers`.

    Call arguments:
        data: Dictionary. `"images"` has the shape `(batch, height, width,
            channels)`, or follows the layer's `data_format`; `"affine"` has the
            shape `(batch or 1, d, 3)`. A single image without a batch axis has
            an `"affine"` of shape `(d, 3)`. Other keys are optional.
        training: Boolean. Outside of training, random layers do nothing.

    Returns:
        Dictionary with the same keys. The coordinates of index `k` of an image
        are `affine @ [k, 1]`. `affine` is float32, whatever the layer's dtype.

    Raises:
        ValueError: if the layer is not supported, or if `data` is malformed.

    Example: rotated images that keep their global coordinates

    >>> layer = keras.layers.RandomRotation(0.1)
    >>> rotate = keras_coordconv.CoordAugmentation(layer)
    >>> images = np.zeros((8, 64, 96, 3), "float32")
    >>> affine = keras_coordconv.frames.affine_from_range((64, 96))
    >>> data = rotate({"images": images, "affine": affine}, training=True)
    >>> data["affine"].shape
    (8, 2, 3)
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        kinds = [kind for kind in INDEX_MAPS if isinstance(layer, kind)]
        if not kinds:
            names = ", ".join(kind.__name__ for kind in INDEX_MAPS)
            raise ValueError(
                f"`layer` must be one of {names}. Received: layer={layer}. "
                "For other layers that move pixels, append the coordinates to "
                "the channels of the images, and pass them to a CoordConv "
                "layer as `coordinates`."
            )
        self._index_map = INDEX_MAPS[kinds[0]]
        # The layer converts its inputs itself.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    def __call__(self, data, *args, **kwargs):
        # Keras does not mix arrays and tensors, and changes its dictionaries.
        has_tensors = any(map(ops.is_tensor, keras.tree.flatten(data)))
        kind = np.ndarray if has_tensors else ()
        data = keras.tree.map_structure(
            lambda x: ops.array(x) if isinstance(x, kind) else x, data
        )
        return super().__call__(data, *args, **kwargs)

    def call(self, data, training=True):
        _check_data(data)
        affines = []

        def draw(others, training=True, seed=None):
            drawn = self.layer.get_random_transformation(others, training, seed)
            affines.append(self._new_affine(data, drawn, training))
            return drawn

        # A copy of the layer, with the same state, for this call.
        layer = object.__new__(type(self.layer))
        vars(layer).update(vars(self.layer), get_random_transformation=draw)
        others = {key: data[key] for key in data if key != "affine"}
        return {**layer(others, training=training), "affine": affines[0]}

    def _new_affine(self, data, transformation, training):
        """Computes the frame of the new images, in the layer's backend."""
        layer, backend = self.layer, self.layer.backend
        affine = backend.convert_to_tensor(data["affine"], dtype="float32")
        is_random = hasattr(layer, "seed")
        if is_random and not training:
            return affine
        shape = backend.shape(data["images"])
        is_last = layer.data_format == "channels_last"
        size = shape[-3:-1] if is_last else shape[-2:]
        size = backend.cast(backend.numpy.stack(size), "float32")
        rows = [*self._index_map(layer, transformation, size), (0.0, 0.0, 1.0)]
        is_batch = len(shape) == 4
        affine = affine if is_batch else affine[None]
        # Not `matmul`, for which accelerators round the factors.
        unit_vectors = backend.numpy.eye(3, dtype="float32")
        affine = sum(
            (affine[..., k] * rows[k][column])[..., None] * unit_vectors[column]
            for k in range(3)
            for column in range(3)
        )
        return affine if is_batch else affine[0]

    def compute_output_spec(self, data, training=None):
        _check_data(data)
        outputs = keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, x.dtype), data
        )
        for key in {"images", "segmentation_masks"} & data.keys():
            shape = self.layer.compute_output_shape(data[key].shape)
            outputs[key] = keras.KerasTensor(shape, self.layer.compute_dtype)
        # One frame may become one per image.
        batch, *shape = data["affine"].shape
        shape = [None if batch == 1 else batch, *shape]
        outputs["affine"] = keras.KerasTensor(shape, "float32")
        return outputs


def _check_data(data):
    """Checks that there are images, and that their frames match them."""
    if isinstance(data, dict) and {"images", "affine"} <= data.keys():
        images, affine = (tuple(data[k].shape) for k in ("images", "affine"))
        batches = images[:-3] + affine[:-2]
        if (
            len(images) in (3, 4)
            and len(affine) == len(images) - 1
            and affine[-1] in (3, None)
            and (None in batches or affine[:-2] in (images[:-3], (1,)))
        ):
            return
    shapes = keras.tree.map_structure(lambda x: getattr(x, "shape", x), data)
    raise ValueError(
        "`data` must be a dictionary with 'images' and their 'affine', which "
        "has the shape (batch or 1, d, 3), or (d, 3) for one image. "
        f"Received: data with the shapes {shapes}"
    )


# Index maps: the rows (y, then x) of the matrix that maps `[index, 1]` of the
# new image to the index in the old image. Entries are numbers, or tensors that
# broadcast to `(batch, 1)`. The size of the old image is a tensor (y, x).


def _center_crop(layer, transformation, size):
    xp, new_size = layer.backend.numpy, _new_size(layer)
    begin, window = _fitted_window(layer, size)
    is_larger = xp.all(size >= new_size)
    begin = xp.where(is_larger, (size - new_size) // 2, begin)
    return _resizing_map(layer, begin, xp.where(is_larger, new_size, window))


def _random_crop(layer, transformation, size):
    begin = layer.backend.numpy.stack(transformation)
    begin = layer.backend.cast(begin, "float32")
    # A window that extends beyond the image is cut off and resized.
    window = layer.backend.numpy.minimum(size - begin, _new_size(layer))
    return _resizing_map(layer, begin, window)


def _resizing(layer, transformation, size):
    begin, window = layer.backend.numpy.zeros_like(size), size
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        begin, window = _fitted_window(layer, size, layer.pad_to_aspect_ratio)
    return _resizing_map(layer, begin, window)


def _random_flip(layer, transformation, size):
    flips = layer.backend.cast(transformation["flips"], "float32")
    signs = 1 - 2 * flips[..., 0, 0]
    y = signs if "vertical" in layer.mode else 1.0
    x = signs if "horizontal" in layer.mode else 1.0
    return _zoom_map(y, x, size)


def _random_rotation(layer, transformation, size):
    # Keras has x first.
    matrix = transformation["rotation_matrix"]
    xx, xy, x, yx, yy, y = (matrix[..., k : k + 1] for k in range(6))
    return (yy, yx, y), (xy, xx, x)


def _random_shear(layer, transformation, size):
    shears = layer.backend.cast(transformation["shear_factor"], "float32")
    return (1.0, shears[:, 1:], 0.0), (shears[:, :1], 1.0, 0.0)


def _random_translation(layer, transformation, size):
    moves = transformation["translations"]
    return (1.0, 0.0, -moves[:, 1:]), (0.0, 1.0, -moves[:, :1])


def _random_zoom(layer, transformation, size):
    y, x = transformation["height_zoom"], transformation["width_zoom"]
    return _zoom_map(y, x, size)


INDEX_MAPS = {
    keras.layers.CenterCrop: _center_crop,
    keras.layers.RandomCrop: _random_crop,
    keras.layers.RandomFlip: _random_flip,
    keras.layers.RandomRotation: _random_rotation,
    keras.layers.RandomShear: _random_shear,
    keras.layers.RandomTranslation: _random_translation,
    keras.layers.RandomZoom: _random_zoom,
    keras.layers.Resizing: _resizing,
}


def _new_size(layer):
    size = [layer.height, layer.width]
    return layer.backend.convert_to_tensor(size, dtype="float32")


def _fitted_window(layer, size, is_padding=False):
    """Returns the centered window with the layer's aspect ratio."""
    xp, new_size = layer.backend.numpy, _new_size(layer)
    fitted = xp.flip(size) * new_size // xp.flip(new_size)
    if is_padding:
        # The same number of pixels on both sides.
        padding = (xp.maximum(size, fitted) - size) // 2
        return -padding, size + 2 * padding
    window = xp.maximum(xp.minimum(size, fitted), 1.0)
    return (size - window) // 2, window


def _resizing_map(layer, begin, window):
    """Returns the index map of a window that is resized to the layer's size."""
    scale = window / _new_size(layer)
    offset = begin + (scale - 1) / 2
    return (scale[0], 0.0, offset[0]), (0.0, scale[1], offset[1])


def _zoom_map(y, x, size):
    """Returns the index map of a zoom about the center of the image."""
    y_middle, x_middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    return (y, 0.0, (1 - y) * y_middle), (0.0, x, (1 - x) * x_middle)
