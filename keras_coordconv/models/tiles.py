"""A net that names objects by their place, for crops and for whole images."""

import keras
from keras import layers

from keras_coordconv.layers import CoordConv2D

# How many pixels the outputs end before the border: two 3x3 convolutions.
MARGIN = 2


def place_segmenter(classes=3, filters=16, name="place_segmenter"):
    """Classes of pixels from an image of any size and its coordinates.

    With "valid" padding, what a pixel gets depends on the pixels around it and
    on its coordinates alone.

    Args:
        classes: Integer, the number of classes.
        filters: Integer, filters of each layer but the last.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width, 1)`,
        and `ranges`, `(batch, 2, 2)`, to logits of shape `(batch, height - 4,
        width - 4, classes)`.
    """
    image = keras.Input((None, None, 1), name="image")
    ranges = keras.Input((2, 2), name="ranges")
    x = CoordConv2D(filters, 3, activation="relu", name="coordconv1")(
        [image, ranges]
    )
    x = layers.Conv2D(filters, 3, activation="relu", name="conv2")(x)
    x = layers.Conv2D(filters, 1, activation="relu", name="conv3")(x)
    x = layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model({"image": image, "ranges": ranges}, x, name=name)
