"""Coordinate classification: from (x, y) to the pixel at (x, y), Section 4.

Two nets with the same input, `location` of shape `(batch, 2)`, the (x, y) of a
pixel, x the column; and the same output, `logits` of shape `(batch, 4096)`, one
per pixel of the 64x64 canvas, row by row.
"""

import keras
from keras import initializers
from keras import layers
from keras import ops
from keras import regularizers

from keras_coordconv.layers import CoordConv2D

CANVAS_SIZE = 64


INITIALIZATIONS = ("he", "offsets")


def coordconv_classifier(
    l2=0.0, initialization="he", name="coordconv_classifier"
):
    """The CoordConv net: 1x1 convolutions only, 7,553 parameters.

    (x, y) is repeated at every pixel, joined by the pixel's own coordinates,
    and every pixel finds out for itself whether it is the one.

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        initialization: String, how the first layer begins: `"he"` as in the
            paper, or `"offsets"`, see `start_from_offsets`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `logits`.

    Raises:
        ValueError: if there is no such initialization.
    """
    inputs = keras.Input((2,), name="location")
    x = apply_coordconv_stack(inputs, l2=l2, initialization=initialization)
    return keras.Model(inputs, flatten_to_logits(x), name=name)


def conv_classifier(filter_size=3, width=2, l2=0.0, name="conv_classifier"):
    """The deconvolution net: six transposed convolutions, from 1x1 to 64x64.

    Its trainable parameters by filter size 2 / 3 / 4: 46,465 / 103,585 /
    183,553 at width 1; 183,041 / 409,921 / 727,553 at width 2; 409,729 /
    919,009 / 1,632,001 at width 3.

    Args:
        filter_size: Integer, height and width of the kernels.
        width: Integer, factor on the number of filters (`c` in the paper).
        l2: Float, weight of the penalty on the sum of the squared kernels.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `logits`.
    """
    inputs = keras.Input((2,), name="location")
    x = apply_deconv_stack(inputs, filter_size, width, l2=l2)
    return keras.Model(inputs, flatten_to_logits(x), name=name)


def serving_outputs(logits):
    """What the served model answers, from the logits.

    Returns:
        Dictionary of `probabilities`, `(batch, 4096)`, and of the most likely
        pixel's `row` and `column`, int32 of shape `(batch,)`.
    """
    pixel = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return {
        "probabilities": ops.softmax(logits),
        "row": ops.floor_divide(pixel, CANVAS_SIZE),
        "column": ops.mod(pixel, CANVAS_SIZE),
    }


def apply_coordconv_stack(location, l2=0.0, initialization="he"):
    """(x, y) to one number per pixel with CoordConv, `(batch, 64, 64, 1)`."""
    if initialization not in INITIALIZATIONS:
        raise ValueError(
            f"`initialization` must be one of {', '.join(INITIALIZATIONS)}. "
            f"Received: initialization={initialization!r}"
        )
    x = layers.Reshape((1, 1, 2), name="pixel")(location)
    x = layers.UpSampling2D(CANVAS_SIZE, name="tile")(x)
    coordconv = CoordConv2D(
        32,
        1,
        activation="relu",
        kernel_initializer=initializers.HeNormal(),
        kernel_regularizer=l2_penalty(l2),
        name="coordconv1",
    )
    x = coordconv(x)
    if initialization == "offsets":
        start_from_offsets(coordconv)
    for index, filters in enumerate((32, 64, 64, 1), start=2):
        x = layers.Conv2D(
            filters,
            1,
            activation="relu" if filters > 1 else None,
            kernel_initializer=initializers.HeNormal(),
            kernel_regularizer=l2_penalty(l2),
            name=f"conv{index}",
        )(x)
    return x


def apply_deconv_stack(location, filter_size, width, l2=0.0):
    """(x, y) to one number per pixel by deconvolution, `(batch, 64, 64, 1)`."""
    x = layers.Reshape((1, 1, 2), name="pixel")(location)
    for index, filters in enumerate((64, 64, 64, 32, 32, 1), start=1):
        last = filters == 1
        x = layers.Conv2DTranspose(
            filters if last else width * filters,
            filter_size,
            strides=2,
            padding="same",
            kernel_initializer=initializers.HeNormal(),
            kernel_regularizer=l2_penalty(l2),
            name=f"deconv{index}",
        )(x)
        if not last:
            x = layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, name=f"norm{index}"
            )(x)
            x = layers.ReLU(name=f"relu{index}")(x)
    return x


def start_from_offsets(layer):
    """Lets a first layer begin with the offsets of (x, y) from each pixel.

    He initialization makes random sums of x and y, which are in pixels, and of
    coordinates in [-1, 1]. Here each filter begins as

        relu(a (x - column) + b (y - row))

    with He's random a and b, an eighth of their size: what it answers depends
    on where the pixel lies from (x, y), and not on where on the canvas that is.
    Nothing keeps it so; all weights train.

    Args:
        layer: Built `CoordConv2D` of 1x1 on the channels x and y.
    """
    a, b = ops.convert_to_numpy(layer.kernel)[0, 0, :2] / 8
    # column = middle * (j + 1), row = middle * (i + 1)
    middle = (CANVAS_SIZE - 1) / 2
    layer.kernel.assign([[[a, b, -middle * b, -middle * a]]])
    layer.bias.assign(-middle * (a + b))


def flatten_to_logits(x, name="logits"):
    """One number per pixel, `(batch, 64, 64, 1)`, to `(batch, 4096)`."""
    return layers.Reshape(
        (CANVAS_SIZE * CANVAS_SIZE,), dtype="float32", name=name
    )(x)


def l2_penalty(l2):
    """The paper's penalty, `l2` times the sum of squares; `None` for 0."""
    return regularizers.L2(l2) if l2 else None
