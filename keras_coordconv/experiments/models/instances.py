"""A net that draws the mask of the object that it is asked for."""

import keras
from keras import layers

from keras_coordconv.layers import CoordConv2D


def mask_net(channels=1, filters=16, name="mask_net"):
    """Mask of one object, from an image of any size and its coordinates.

    One net for all objects, as the mask head of
    [CondInst](https://arxiv.org/abs/2003.05664): which object is meant can be
    said by the coordinates, if they are measured from its middle.

    Args:
        channels: Integer, channels of the image.
        filters: Integer, filters of each layer but the last.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, `(batch, height, width,
        channels)`, and `affine`, `(batch, 2, 3)`, to logits of shape `(batch,
        height, width, 1)`. What a pixel gets depends on the 15 x 15 pixels
        around it.
    """
    image = keras.Input((None, None, channels), name="image")
    affine = keras.Input((2, 3), name="affine")
    same = {"padding": "same", "activation": "relu"}
    x = CoordConv2D(filters, 3, name="coordconv1", **same)(image, affine=affine)
    x = layers.Conv2D(filters, 3, dilation_rate=2, name="conv2", **same)(x)
    x = layers.Conv2D(filters, 3, dilation_rate=4, name="conv3", **same)(x)
    x = layers.Conv2D(filters, 1, name="conv4", **same)(x)
    x = layers.Conv2D(1, 1, dtype="float32", name="logits")(x)
    return keras.Model({"image": image, "affine": affine}, x, name=name)
