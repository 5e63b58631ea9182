"""Coordinate regression: from an image of one pixel to its (x, y), Section 4.

All models have the input `image` of shape `(batch, 64, 64, 1)`, 1 at one pixel
and 0 elsewhere, and the output `location` of shape `(batch, 2)`, the (x, y) of
that pixel divided by 64.
"""

import keras
from keras import initializers
from keras import layers

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models.blocks import l2_penalty
from keras_coordconv.experiments.models.blocks import scaled_he_normal
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import SoftArgmax2D


def coordconv_regressor(
    l2=0.0,
    input_scale=1.0,
    first_layer_scale=1.0,
    name="coordconv_regressor",
):
    """CoordConv regressor: linear layers, then a maximum over all pixels.

    906 parameters. There are no activations: each of the two maps of the last
    layer must have its maximum at the white pixel, and this maximum must be the
    pixel's coordinate.

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        input_scale: Float, factor on the image: 1 in the paper; 255 makes the
            white pixel as large as in a uint8 image. With 1 and He
            initialization, the maximum over all pixels is often in a corner,
            whatever the image. The white pixel then gets no gradient, and the
            model learns the mean location.
        first_layer_scale: Float, factor on the initial kernel of the first
            layer. 1 is He initialization, as in the paper.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `location`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = layers.Rescaling(input_scale, name="input_scale")(inputs)
    x = _linear_maps(x, "coordconv", 2, l2, first_layer_scale)
    x = layers.MaxPooling2D(CANVAS_SIZE, name="highest")(x)
    return keras.Model(inputs, _location(x), name=name)


def soft_argmax_regressor(
    layer="coordconv",
    l2=0.0,
    input_scale=1.0,
    first_layer_scale=1.0,
    temperature=1.0,
    name="soft_argmax_regressor",
):
    """Regressor with the layers of `coordconv_regressor` and a soft-argmax.

    833 parameters, or 817 without coordinates in the first layer. They are not
    needed there: the soft-argmax returns the position of the map's maximum.

    Args:
        layer: String, `"coordconv"` or `"conv"`, the first layer.
        l2, input_scale, first_layer_scale: As for `coordconv_regressor`.
        temperature: Float, temperature of the softmax. With 1, the softmax
            often saturates at a neighbor of the white pixel, where it has no
            gradient.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `location`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = layers.Rescaling(input_scale, name="input_scale")(inputs)
    x = _linear_maps(x, layer, 1, l2, first_layer_scale)
    # Column and row, divided by the size: (x, y).
    x = SoftArgmax2D(
        temperature,
        coordinate_range=(0.0, 1.0),
        align="period",
        axes=(1, 0),
        name="soft_argmax",
    )(x)
    return keras.Model(inputs, _location(x), name=name)


def conv_regressor_uniform(l2=0.0, name="conv_regressor_uniform"):
    """Convolutional regressor that the paper uses on the uniform split.

    72,850 parameters: four 3x3 convolutions, two dense layers.

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `location`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = inputs
    for index in range(1, 5):
        x = _conv_relu(x, 16, 3, 1, l2, index)
        if index < 4:
            x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="features")(x)
    x = layers.Dense(64, activation="relu", name="dense1", **_kernel(l2))(x)
    x = layers.Dense(2, name="dense2", **_kernel(l2))(x)
    return keras.Model(inputs, _location(x), name=name)


def conv_regressor_quadrant(l2=0.0, name="conv_regressor_quadrant"):
    """Convolutional regressor that the paper uses on the quadrant split.

    12,914 parameters: convolutions, then an average over all positions.

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `location`.
    """
    inputs = keras.Input((CANVAS_SIZE, CANVAS_SIZE, 1), name="image")
    x = _conv_relu(inputs, 16, 5, 2, l2, 1)
    x = _conv_relu(x, 16, 1, 1, l2, 2)
    x = _normalize(x, 2)
    x = _conv_relu(x, 16, 3, 1, l2, 3)
    x = _conv_relu(x, 16, 3, 2, l2, 4)
    x = layers.Conv2D(
        16, 3, strides=2, padding="same", name="conv5", **_kernel(l2)
    )(x)
    x = layers.ReLU(name="relu5")(_normalize(x, 5))
    x = _conv_relu(x, 16, 3, 2, l2, 6)
    x = _conv_relu(x, 16, 1, 1, l2, 7)
    x = _conv_relu(x, 16, 3, 2, l2, 8)
    x = _conv_relu(x, 2, 3, 1, l2, 9)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, _location(x), name=name)


def _linear_maps(x, layer, maps, l2, first_layer_scale):
    """Applies the CoordConv network of Section 4, up to its maps."""
    first = {"coordconv": CoordConv2D, "conv": layers.Conv2D}[layer]
    x = first(
        8,
        1,
        kernel_initializer=scaled_he_normal(first_layer_scale),
        kernel_regularizer=l2_penalty(l2),
        name=f"{layer}1",
    )(x)
    x = layers.Conv2D(8, 1, name="conv2", **_kernel(l2))(x)
    x = layers.Conv2D(8, 1, name="conv3", **_kernel(l2))(x)
    x = layers.Conv2D(8, 3, padding="same", name="conv4", **_kernel(l2))(x)
    return layers.Conv2D(maps, 3, padding="same", name="conv5", **_kernel(l2))(
        x
    )


def _conv_relu(x, filters, kernel_size, strides, l2, index):
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        activation="relu",
        name=f"conv{index}",
        **_kernel(l2),
    )(x)


def _normalize(x, index):
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, name=f"norm{index}"
    )(x)


def _kernel(l2):
    return {
        "kernel_initializer": initializers.HeNormal(),
        "kernel_regularizer": l2_penalty(l2),
    }


def _location(x):
    return layers.Reshape((2,), dtype="float32", name="location")(x)
