"""Windows: parts of an image that a model is applied to separately."""

import itertools
import math

import keras
import numpy as np
from keras import ops

from keras_coordconv.conversion.maps import input_names
from keras_coordconv.conversion.maps import run_graph
from keras_coordconv.coordinates import axis_coordinates
from keras_coordconv.frames import crop_affine
from keras_coordconv.layers.frame_layer import FrameLayer


def find_tiles(size, tile_size, calls, outputs):
    """Finds windows to apply a model to, and the correct parts of the outputs.

    All windows have the same size, and begin where all maps have a position,
    counted from the beginning and from the end of the image. Their padding,
    which depends on the size, then equals the padding of the image.

    Args:
        size: Tuple of integers, the size of the image.
        tile_size: Integer, or one per axis, the maximum size of a window.
        calls, outputs: From `follow_maps`; the outputs as a flat list.

    Returns:
        List of tuples of the beginning of a window and, for each output, the
        beginning, the size, and the offset in the window of its correct part;
        and the size of the windows.

    Raises:
        ValueError: if `tile_size` is malformed or too small.
    """
    rank = len(size)
    if np.size(tile_size) not in (1, rank):
        raise ValueError(
            f"`tile_size` must be an integer, or {rank} of them, one per axis. "
            f"Received: tile_size={tile_size}"
        )
    strides = [1] * rank
    for axes in (known.axes for *_, made in calls for known in made):
        for number, axis in enumerate(axes or ()):
            strides[number] = math.lcm(strides[number], axis.step.numerator)
    overlaps = [
        max(
            n + math.ceil((a.before + a.after - a.size) * a.step)
            for a in (known.axes[number] for known in outputs)
        )
        for number, n in enumerate(size)
    ]
    # As large as the image, or large enough to advance by a stride.
    smallest = tuple(
        min(overlap + stride + (n - overlap) % stride, n)
        for n, overlap, stride in zip(size, overlaps, strides, strict=True)
    )
    largest = np.broadcast_to(tile_size, rank).tolist()
    if any(own < least for own, least in zip(largest, smallest, strict=True)):
        raise ValueError(
            f"`tile_size` must be at least {smallest} for this model and an "
            f"image of size {tuple(size)}. Received: tile_size={tile_size}"
        )
    window = tuple(
        n if own >= n else own - (own - n) % stride
        for n, own, stride in zip(size, largest, strides, strict=True)
    )
    parts_of_axes = []
    for number, n in enumerate(size):
        stride = strides[number]
        step = (window[number] - overlaps[number]) // stride * stride
        last = n - window[number]
        begins = [*range(0, last, max(step, 1)), last]
        parts_of_outputs = [
            _parts(begins, known.axes[number]) for known in outputs
        ]
        parts_of_axes.append([*zip(begins, *parts_of_outputs, strict=True)])
    tiles = []
    for parts in itertools.product(*parts_of_axes):
        begin, *of_outputs = zip(*parts, strict=True)
        of_outputs = [tuple(zip(*own, strict=True)) for own in of_outputs]
        tiles.append((begin, of_outputs))
    return tiles, window


def _parts(begins, axis):
    """Returns the correct part of each output: beginning, length, offset."""
    origins = [int(begin / axis.step) for begin in begins]
    starts = [origin + axis.before for origin in origins]
    starts[0] = 0
    ends = [*starts[1:], axis.size]
    return [
        (start, end - start, start - origin)
        for start, end, origin in zip(starts, ends, origins, strict=True)
    ]


class Windows(keras.Model):
    """A model on windows of an image, with the coordinates of the whole.

    Args:
        model: The model. It is not copied.
        calls: From `follow_maps` on the whole image.

    Call arguments:
        inputs: Dictionary of `begin`, an integer tensor of shape `(batch,
            rank)`, `affine`, the frame of the image for each window, and
            `image_NAME`, the windows, for each other input.
    """

    def __init__(self, model, calls):
        super().__init__(dtype="float32")
        self.model = model
        functions = [
            _with_frame_of_whole(layer, args[0].axes)
            if isinstance(layer, FrameLayer)
            and not {"affine", "coordinates"} & kwargs.keys()
            else layer
            for layer, args, kwargs, _ in calls
        ]
        # Keras would wrap a list.
        self._get_functions = lambda: iter(functions)

    def call(self, inputs):
        functions = self._get_functions()

        def call(layer, args, kwargs):
            function = next(functions)
            if function is not layer:
                kwargs = {**kwargs, "begin": inputs["begin"]}
            return function(*args, **kwargs)

        values = []
        for name, symbol in zip(
            input_names(self.model), self.model.inputs, strict=True
        ):
            if name == "affine":
                value = crop_affine(inputs["affine"], inputs["begin"])
            else:
                value = ops.cast(inputs[f"image_{name}"], symbol.dtype)
            values.append(value)
        return run_graph(self.model, values, call)


def _with_frame_of_whole(layer, axes):
    """Calls a layer on windows of a map, with coordinates of the whole map."""
    frames = [
        (axis, *axis_coordinates(axes[axis].size, *frame))
        for axis, *frame in layer._frames
    ]
    # A copy of the layer, with the same state.
    copy = object.__new__(type(layer))
    vars(copy).update(vars(layer), axes=None)
    if getattr(layer, "radius_center", 0) is None:
        middles = tuple(float(middle) for *_, middle in frames)
        vars(copy)["radius_center"] = middles

    def call(inputs, *args, begin, **kwargs):
        sizes = layer._spatial_shape(inputs)
        maps = []
        for axis, coordinates, _, _ in frames:
            # Windows begin at whole positions of each map.
            step = axes[axis].step
            first = begin[:, axis] * step.denominator // step.numerator
            indices = ops.expand_dims(first, -1) + ops.arange(
                sizes[axis], dtype="int32"
            )
            values = ops.take(ops.convert_to_tensor(coordinates), indices)
            shape = [1] * len(sizes)
            shape[axis] = sizes[axis]
            values = ops.reshape(values, (-1, *shape))
            maps.append(
                ops.broadcast_to(values, (ops.shape(values)[0], *sizes))
            )
        coordinates = ops.stack(maps, axis=-1)
        return copy(inputs, *args, coordinates=coordinates, **kwargs)

    return call
