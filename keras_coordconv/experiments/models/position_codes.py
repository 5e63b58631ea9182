"""Coordinate classification with other position codes than coordinates.

All models have the paper's input, `location` of shape `(batch, 2)`, the (x, y)
of a pixel, x being the column, and its output, `logits` of shape `(batch,
4096)`. Only the first layer differs: its input is the code of the query and the
code of each pixel. If both are encoded alike, the task is to find the pixel
whose code equals that of the query.
"""

import math

import keras
from keras import layers
from keras import ops

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models.blocks import apply_pixel_stack
from keras_coordconv.experiments.models.blocks import flatten_to_logits
from keras_coordconv.experiments.models.blocks import l2_penalty
from keras_coordconv.experiments.models.blocks import scaled_he_normal

CODES = (
    "none",
    "padding",
    "coordinates",
    "fourier",
    "axis",
    "pixel",
    "unshared",
    "relative",
)
# Length of a code; coordinates have length two.
CODE_SIZE = 24
FILTERS = 32


def position_classifier(code, l2=0.0, first_layer_scale=1.0, name=None):
    """Classifier from (x, y) to the pixel at (x, y), with a position code.

    Args:
        code: String.

            - `"none"`: the pixels have no code. Every pixel gets the same
              logit.
            - `"padding"`: no code, but 3x3 convolutions with zero padding
              instead of 1x1 convolutions.
            - `"coordinates"`: the column and the row, in pixels. This is the
              paper's network of 7,553 parameters.
            - `"fourier"`: sines and cosines of the column and of the row, in
              six octaves, the longest period twice the canvas.
            - `"axis"`: a learned vector per column and one per row.
            - `"pixel"`: a learned vector per pixel.
            - `"unshared"`: a learned vector per pixel, but not for the query.
            - `"relative"`: a learned vector per difference of columns between
              the pixel and the query, and one per difference of rows.

            In `"none"`, `"padding"` and `"unshared"`, the query is (x, y) in
            pixels.
        l2: Float, weight of the penalty on the sum of the squared kernels.
        first_layer_scale: Float, factor on the initial kernel of the first
            layer. 1 is He initialization.
        name: String, the model's name. Defaults to `code`.

    Returns:
        A Functional `keras.Model` from `location` to `logits`.

    Raises:
        ValueError: if the code is unknown.
    """
    if code not in CODES:
        raise ValueError(
            f"`code` must be one of {', '.join(CODES)}. Received: code={code!r}"
        )

    def convolve(x, scale=first_layer_scale, name="conv1", **arguments):
        # Always float32: half precision cannot distinguish all coordinates in
        # pixels.
        return layers.Conv2D(
            FILTERS,
            kernel_size,
            padding="same",
            kernel_initializer=scaled_he_normal(scale),
            kernel_regularizer=l2_penalty(l2),
            dtype="float32",
            name=name,
            **arguments,
        )(x)

    kernel_size = 3 if code == "padding" else 1
    location = keras.Input((2,), name="location")
    query = layers.Reshape((1, 1, 2), dtype="float32", name="query")(location)
    tile = layers.UpSampling2D(CANVAS_SIZE, dtype="float32", name="tile")
    pixels = PixelGrid(dtype="float32", name="pixels")(query)
    if code == "none":
        x = tile(convolve(query))
    elif code == "padding":
        x = convolve(tile(query))
    elif code == "relative":
        offsets = AxisEmbedding(
            2 * CANVAS_SIZE - 1, CODE_SIZE, dtype="float32", name="offsets"
        )
        x = convolve(offsets(pixels - query + (CANVAS_SIZE - 1)))
    else:
        encode = code_layer(code)
        if code != "unshared":
            query = encode(query)
        # A convolution of both codes side by side is the sum of two
        # convolutions. Computed separately, the query is convolved once per
        # example and the pixels once per batch. The scale is that of He
        # initialization for both inputs together.
        scale = first_layer_scale / math.sqrt(2)
        x = convolve(query, scale) + convolve(
            encode(pixels), scale, "positions1", use_bias=False
        )
    x = layers.ReLU(dtype="float32", name="relu1")(x)
    x = apply_pixel_stack(x, kernel_size, l2)
    return keras.Model(location, flatten_to_logits(x), name=name or code)


def code_layer(code):
    """Returns a layer that maps positions in pixels, `(..., 2)`, to codes."""
    if code == "coordinates":
        return layers.Identity(dtype="float32", name="coordinates")
    if code == "fourier":
        return FourierCode(dtype="float32", name="fourier")
    if code == "axis":
        return AxisEmbedding(
            CANVAS_SIZE, CODE_SIZE, dtype="float32", name="axes"
        )
    return PixelEmbedding(CODE_SIZE, dtype="float32", name="table")


@keras.saving.register_keras_serializable(package="keras_coordconv")
class PixelGrid(layers.Layer):
    """Layer that returns the (x, y) of each pixel, `(1, 64, 64, 2)`."""

    def call(self, inputs):
        index = ops.arange(CANVAS_SIZE, dtype=self.compute_dtype)
        x, y = ops.meshgrid(index, index, indexing="xy")
        return ops.stack([x, y], axis=-1)[None]

    def compute_output_shape(self, input_shape):
        return (1, CANVAS_SIZE, CANVAS_SIZE, 2)


@keras.saving.register_keras_serializable(package="keras_coordconv")
class FourierCode(layers.Layer):
    """Sines and cosines of positions in pixels, with periods in octaves.

    Args:
        octaves: Integer, number of periods: twice the canvas, the canvas, half
            the canvas, and so on.
    """

    def __init__(self, octaves=CODE_SIZE // 4, **kwargs):
        super().__init__(**kwargs)
        self.octaves = octaves

    def call(self, positions):
        angles = [
            positions * (math.pi * 2**octave / CANVAS_SIZE)
            for octave in range(self.octaves)
        ]
        angles = ops.concatenate(angles, axis=-1)
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 4 * self.octaves)

    def get_config(self):
        return {**super().get_config(), "octaves": self.octaves}


@keras.saving.register_keras_serializable(package="keras_coordconv")
class AxisEmbedding(layers.Layer):
    """Learned vectors of the columns and of the rows, concatenated.

    Args:
        positions: Integer, number of columns, and number of rows.
        size: Integer, length of both vectors together.
    """

    def __init__(self, positions, size, **kwargs):
        super().__init__(**kwargs)
        self.positions = positions
        self.size = size

    def build(self, input_shape):
        self.tables = [
            self.add_weight(
                name=name,
                shape=(self.positions, self.size // 2),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
            )
            for name in ("columns", "rows")
        ]

    def call(self, positions):
        positions = ops.cast(positions, "int32")
        vectors = [
            ops.take(table, positions[..., axis], axis=0)
            for axis, table in enumerate(self.tables)
        ]
        return ops.concatenate(vectors, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.size)

    def get_config(self):
        return {
            **super().get_config(),
            "positions": self.positions,
            "size": self.size,
        }


@keras.saving.register_keras_serializable(package="keras_coordconv")
class PixelEmbedding(layers.Layer):
    """Learned vectors of the pixels of the canvas.

    Args:
        size: Integer, length of the vectors.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape):
        self.table = self.add_weight(
            name="table",
            shape=(CANVAS_SIZE * CANVAS_SIZE, self.size),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )

    def call(self, positions):
        positions = ops.cast(positions, "int32")
        pixels = CANVAS_SIZE * positions[..., 1] + positions[..., 0]
        return ops.take(self.table, pixels, axis=0)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}
