"""Small nets that show what a convolution knows of its own position.

All have the input `image` of shape `(batch, 32, 32, 1)`.
"""

import keras
from keras import initializers
from keras import layers

from keras_coordconv.layers import CoordConv2D

CANVAS_SIZE = 32
CONVOLUTIONS = {"conv": layers.Conv2D, "coordconv": CoordConv2D}
FILTERS = 16


def row_readout(layer="conv", padding="same", depth=8):
    """What a random net tells of the row: a 1x1 layer that reads it out.

    The 3x3 convolutions keep their random weights; only the readout is trained.

    Args:
        layer: String, the readout: `"conv"` or `"coordconv"`.
        padding: String, that of the random convolutions. With `"valid"` they
            leave the middle of the canvas.
        depth: Integer, how many random convolutions there are. The borders are
            in sight of the output's positions up to `depth` pixels from them.

    Returns:
        A Functional `keras.Model` from `image` to a map of rows,
        `(batch, size, size, 1)`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = inputs
    for index in range(1, depth + 1):
        x = _convolution(x, "conv", index, padding=padding, trainable=False)
    readout = CONVOLUTIONS[layer](1, 1, dtype="float32", name="row")
    return keras.Model(inputs, readout(x), name=f"{layer}_{padding}")


def side_classifier(layer="conv", padding="same", depth=4):
    """Is the patch on the right? Convolutions, then the highest of each map.

    Args:
        layer: String, the first layer: `"conv"` or `"coordconv"`.
        padding: String, that of all convolutions.
        depth: Integer, how many 3x3 convolutions there are.

    Returns:
        A Functional `keras.Model` from `image` to one logit, `(batch, 1)`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = _convolution(inputs, layer, 1, padding=padding)
    for index in range(2, depth + 1):
        x = _convolution(x, "conv", index, padding=padding)
    x = layers.GlobalMaxPooling2D(name="highest")(x)
    logit = layers.Dense(1, dtype="float32", name="side")(x)
    return keras.Model(inputs, logit, name=f"{layer}_{padding}")


def strided_regressor(
    layer="conv", strides=2, head="dense", depth=4, coordinate_limit=1.0
):
    """From an image of one pixel to its (x, y), with strided convolutions.

    Args:
        layer: String, the first layer: `"conv"` or `"coordconv"`.
        strides: Integer, that of each 3x3 convolution.
        head: String, what reads the last maps: `"dense"`, one layer over all
            positions; or `"average"`, over the mean of each map.
        depth: Integer, how many convolutions there are.
        coordinate_limit: Float, the coordinates go from minus this to this. The
            white pixel is 1.

    Returns:
        A Functional `keras.Model` from `image` to `(batch, 2)`, (x, y) as
        fractions of the canvas.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = inputs
    for index in range(1, depth + 1):
        coordinates = {}
        if layer == "coordconv" and index == 1:
            coordinates = {
                "coordinate_range": (-coordinate_limit, coordinate_limit)
            }
        x = _convolution(
            x,
            layer if index == 1 else "conv",
            index,
            strides=strides,
            padding="same",
            **coordinates,
        )
    if head == "dense":
        x = layers.Flatten(name="features")(x)
    else:
        x = layers.GlobalAveragePooling2D(name="average")(x)
    location = layers.Dense(2, dtype="float32", name="location")(x)
    return keras.Model(
        inputs, location, name=f"{layer}_strides{strides}_{head}"
    )


def _convolution(x, layer, index, **arguments):
    return CONVOLUTIONS[layer](
        FILTERS,
        3,
        activation="relu",
        kernel_initializer=initializers.HeNormal(),
        name=f"{layer}{index}",
        **arguments,
    )(x)
