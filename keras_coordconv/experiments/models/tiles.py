"""A net that names objects by their place, for crops and for whole images."""

import keras
from keras import layers

from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import CoordConv3D

# How many pixels the outputs end before the border: two 3x3 convolutions.
MARGIN = 2


def place_segmenter(classes=3, filters=16, axes=2, name="place_segmenter"):
    """Classes of pixels from an image of any size and its coordinates.

    With "valid" padding, what a pixel gets depends on the pixels around it and
    on its coordinates alone.

    Args:
        classes: Integer, the number of classes.
        filters: Integer, filters of each layer but the last.
        axes: Integer, 2 for images, 3 for volumes.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width, 1)`
        with two axes, and `affine`, `(batch, axes, axes +
        1)`, to logits of shape
        `(batch, height - 4, width - 4, classes)`.
    """
    coord_conv, conv = {
        2: (CoordConv2D, layers.Conv2D),
        3: (CoordConv3D, layers.Conv3D),
    }[axes]
    image = keras.Input((*[None] * axes, 1), name="image")
    affine = keras.Input((axes, axes + 1), name="affine")
    x = coord_conv(filters, 3, activation="relu", name="coordconv1")(
        image, affine=affine
    )
    x = conv(filters, 3, activation="relu", name="conv2")(x)
    x = conv(filters, 1, activation="relu", name="conv3")(x)
    x = conv(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model({"image": image, "affine": affine}, x, name=name)
