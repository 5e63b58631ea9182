"""Prediction of whole images tile by tile, and receptive fields."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_coordconv.conversion.clone import check_graph
from keras_coordconv.conversion.maps import data_format_of
from keras_coordconv.conversion.maps import follow_maps
from keras_coordconv.conversion.maps import input_names
from keras_coordconv.conversion.maps import maps_of_inputs
from keras_coordconv.conversion.windows import Windows
from keras_coordconv.conversion.windows import find_tiles
from keras_coordconv.coordinates import Tensor
from keras_coordconv.coordinates import standardize_frame


class ReceptiveField(NamedTuple):
    """The pixels that an output of a layer depends on, per axis."""

    size: tuple
    stride: tuple
    start: tuple


def receptive_field(
    model: keras.Model, layer: str | keras.Layer
) -> ReceptiveField:
    """Computes which pixels of the model's input an output of a layer sees.

    Output `k` depends on the `size` pixels from `start + stride * k` on. Pixels
    before 0 are padding. After upsampling, where neighbors are computed from
    the same position, stride and start may be fractions: some outputs then
    depend on fewer pixels, or on pixels shifted by part of a stride.

    Args:
        model: Functional or Sequential `keras.Model`, built. An unknown input
            size is assumed to be divisible by all strides.
        layer: Layer of the model or of a nested model, or its name.

    Returns:
        `ReceptiveField`, a named tuple of `size`, `stride` and `start`: tuples
        with one number of pixels per spatial axis.

    Raises:
        ValueError: if the layer is unknown, or if it, or a layer before it,
            sees the whole image or moves pixels in an unknown way.

    Example:

    >>> model = keras.applications.ResNet50(weights=None)
    >>> keras_coordconv.receptive_field(model, "conv2_block1_out")
    ReceptiveField(size=(19, 19), stride=(4, 4), start=(-9, -9))
    """
    check_graph(model)
    _, calls = follow_maps(model, maps_of_inputs(model))
    found = [made for own, *_, made in calls if layer in (own, own.name)]
    if not found:
        raise ValueError(
            "`layer` must be a layer of the model, or its name. "
            f"Received: layer={layer!r}"
        )
    known = found[0][0]
    if known.axes is None:
        raise ValueError(
            "The layer has no receptive field: "
            f"{known.reason or 'its output has no positions'}. "
            f"Received: layer={layer!r}"
        )
    return ReceptiveField(*zip(*map(_receptive_field, known.axes), strict=True))


def predict_in_tiles(
    model: keras.Model,
    image: Any,
    tile_size: int | Sequence[int],
    affine: Tensor = None,
    *,
    batch_size: int = 1,
    output: Any = None,
    verbose: bool = True,
) -> Any:
    """Applies a fully convolutional model to an image of any size, in tiles.

    The outputs equal the model's outputs for the whole image, up to rounding,
    but need only the memory of a tile. The overlap of the tiles, and where they
    may begin, follow from the model's layers. Coordinates refer to the whole
    image, and only its borders are padded.

    Args:
        model: Functional or Sequential `keras.Model`, built for any size. Its
            layers are convolutions, transposed convolutions, poolings,
            upsampling, padding, cropping, and layers that act on each position
            alone: activations, normalization over channels, merging layers.
        image: Array of shape `(*spatial_shape, channels)`, or in the model's
            `data_format`, without a batch axis; or an object that is sliced
            like an array, such as a memory map, or an array of zarr or h5py.
            For a model with several inputs, a list or dictionary of images of
            the same size.
        tile_size: Integer, or one per spatial axis, the maximum size of the
            tiles that the model is applied to. Tiles overlap: the larger they
            are, the less is computed twice.
        affine: Array of shape `(1, d, rank + 1)`, the frame of the image, if
            the model has an input named `affine`.
        batch_size: Integer, number of tiles to compute at once.
        output: Array to write into, such as a memory map, or a structure of
            arrays like the model's outputs. Defaults to a new array.
        verbose: Boolean, whether to show a progress bar.

    Returns:
        `output`: the model's outputs for the image, without a batch axis.

    Raises:
        ValueError: before anything is computed, if an argument does not match
            the model, if `tile_size` is too small, or if a layer sees the whole
            image or moves pixels in an unknown way: global pooling, attention,
            dense layers over positions, normalization over positions, resizing,
            custom layers.

    Example: a scan of 40,000 x 30,000 pixels on disk

    >>> scan = np.load("scan.npy", mmap_mode="r")
    >>> labels = np.lib.format.open_memmap(
    ...     "labels.npy", "w+", "float32", (40000, 30000, 3)
    ... )
    >>> keras_coordconv.predict_in_tiles(model, scan, 1024, output=labels)
    """
    check_graph(model)
    if batch_size < 1:
        raise ValueError(
            "`batch_size` must be at least 1. "
            f"Received: batch_size={batch_size}"
        )
    images, size = _standardize_images(model, image)
    affine = _standardize_affine(model, affine, len(size))
    outputs, calls = follow_maps(model, maps_of_inputs(model, size))
    outputs, structure = keras.tree.flatten(outputs), outputs
    for known in outputs:
        if known.axes is None:
            raise ValueError(
                "The model cannot be applied to tiles: "
                f"{known.reason or 'an output has no positions'}. "
                f"Received: model={model.name!r}"
            )
    arrays = _standardize_output(output, outputs)
    tiles, window = find_tiles(size, tile_size, calls, outputs)
    is_last = data_format_of(model) == "channels_last"
    windows = Windows(model, calls)
    progress = keras.utils.Progbar(
        len(tiles), verbose=int(verbose), unit_name="tile"
    )
    for first in range(0, len(tiles), batch_size):
        batch = tiles[first : first + batch_size]
        inputs = {"begin": np.array([begin for begin, _ in batch], "int32")}
        if affine is not None:
            inputs["affine"] = np.repeat(affine, len(batch), axis=0)
        for name, own in images.items():
            parts = [own[_slices(begin, window, is_last)] for begin, _ in batch]
            inputs[f"image_{name}"] = np.stack(parts)
        results = keras.tree.flatten(windows.predict_on_batch(inputs))
        for number, (array, result) in enumerate(
            zip(arrays, results, strict=True)
        ):
            for values, (_, parts) in zip(result, batch, strict=True):
                begin, length, offset = parts[number]
                values = values[_slices(offset, length, is_last)]
                array[_slices(begin, length, is_last)] = values
        progress.update(first + len(batch))
    if output is not None:
        return output
    return keras.tree.pack_sequence_as(structure, arrays)


def _standardize_images(model, image):
    """Returns the images by the name of their input, and their common size."""
    is_last = data_format_of(model) != "channels_first"
    symbols = {
        name: symbol
        for name, symbol in zip(input_names(model), model.inputs, strict=True)
        if name != "affine"
    }
    if not isinstance(image, dict):
        images = image if isinstance(image, (list, tuple)) else [image]
        names = symbols if len(images) == len(symbols) else range(len(images))
        image = dict(zip(names, images, strict=True))
    shapes = {name: tuple(own.shape) for name, own in image.items()}
    sizes = {shape[:-1] if is_last else shape[1:] for shape in shapes.values()}
    channels = -1 if is_last else 0
    if (
        shapes.keys() != symbols.keys()
        or len(sizes) != 1
        or any(
            len(shape) != len(symbols[name].shape) - 1
            or len(shape) < 2
            or shape[channels] != symbols[name].shape[1:][channels]
            for name, shape in shapes.items()
        )
    ):
        expected = {name: symbol.shape[1:] for name, symbol in symbols.items()}
        raise ValueError(
            "`image` must be an array without a batch axis for each input, all "
            f"of the same size. Received: shapes {shapes}, inputs {expected}"
        )
    return image, sizes.pop()


def _standardize_affine(model, affine, rank):
    if ("affine" in input_names(model)) != (affine is not None):
        raise ValueError(
            "`affine` must be passed if, and only if, the model has an input "
            f"of that name. Received: affine={affine} for a model with the "
            f"inputs {input_names(model)}"
        )
    if affine is None:
        return None
    affine = standardize_frame("affine", affine, ("d", rank + 1), batch=1)
    return ops.convert_to_numpy(affine)


def _standardize_output(output, outputs):
    """Returns the arrays to write into, in the order of the outputs."""
    shapes = [known.tensor.shape[1:] for known in outputs]
    if output is None:
        dtypes = [known.tensor.dtype for known in outputs]
        return [
            np.empty(shape, "float32" if dtype == "bfloat16" else dtype)
            for shape, dtype in zip(shapes, dtypes, strict=True)
        ]
    arrays = keras.tree.flatten(output)
    received = [tuple(getattr(array, "shape", ())) for array in arrays]
    if received != shapes:
        raise ValueError(
            "`output` must be an array for each output of the model, without a "
            f"batch axis. Received: shapes {received}, expected {shapes}"
        )
    return arrays


def _slices(begin, length, is_last):
    slices = [slice(b, b + n) for b, n in zip(begin, length, strict=True)]
    return (*slices, slice(None)) if is_last else (slice(None), *slices)


def _receptive_field(axis):
    """Returns size, stride and start of an axis, as integers if possible."""
    size = max(b - a + 1 for a, b in zip(axis.first, axis.last, strict=True))
    # If no start fits all positions, the same distance from both ends.
    offsets = [axis.step * k for k in range(len(axis.first))]
    low = max(b - k for b, k in zip(axis.last, offsets, strict=True)) - size + 1
    high = min(a - k for a, k in zip(axis.first, offsets, strict=True))
    return size, *(
        value.numerator if value.denominator == 1 else float(value)
        for value in (axis.step, (low + high) / 2)
    )
