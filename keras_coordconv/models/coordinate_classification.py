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


def coordconv_classifier(
    l2=0.0, location_scale=1.0, name="coordconv_classifier"
):
    """The CoordConv net: 1x1 convolutions only, 7,553 parameters.

    (x, y) is repeated at every pixel, joined by the pixel's own coordinates,
    and every pixel finds out for itself whether it is the one.

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        location_scale: Float, factor on the initial weights of x and y in the
            first layer. 1 is He initialization as in the paper. x and y are
            pixel numbers, up to 59, the pixels' own coordinates lie in
            [-1, 1]: with 2 / 63 both start with the same weight.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `logits`.
    """
    inputs = keras.Input((2,), name="location")
    x = apply_coordconv_stack(inputs, l2=l2, location_scale=location_scale)
    return keras.Model(inputs, _flatten_to_logits(x), name=name)


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
    return keras.Model(inputs, _flatten_to_logits(x), name=name)


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


def apply_coordconv_stack(location, l2=0.0, location_scale=1.0):
    """(x, y) to one number per pixel with CoordConv, `(batch, 64, 64, 1)`."""
    x = layers.Reshape((1, 1, 2), name="pixel")(location)
    x = layers.UpSampling2D(CANVAS_SIZE, name="tile")(x)
    x = CoordConv2D(
        32,
        1,
        activation="relu",
        kernel_initializer=ScaledHeNormal([location_scale] * 2 + [1.0] * 2),
        kernel_regularizer=_l2_penalty(l2),
        name="coordconv1",
    )(x)
    for index, filters in enumerate((32, 64, 64, 1), start=2):
        x = layers.Conv2D(
            filters,
            1,
            activation="relu" if filters > 1 else None,
            kernel_initializer=initializers.HeNormal(),
            kernel_regularizer=_l2_penalty(l2),
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
            kernel_regularizer=_l2_penalty(l2),
            name=f"deconv{index}",
        )(x)
        if not last:
            x = layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, name=f"norm{index}"
            )(x)
            x = layers.ReLU(name=f"relu{index}")(x)
    return x


@keras.saving.register_keras_serializable(package="keras_coordconv")
class ScaledHeNormal(keras.initializers.Initializer):
    """He initialization with a factor for each input channel.

    He's rule takes all inputs to be of the same size. Where their units differ,
    a factor of one over its unit restores that.

    Args:
        scales: Sequence of floats, one factor per input channel of the kernel.
        seed: Integer, or `None` to draw one from Keras's global generator.
    """

    def __init__(self, scales, seed=None):
        self.scales = [float(scale) for scale in scales]
        self.he_normal = initializers.HeNormal(seed=seed)
        self.seed = self.he_normal.seed

    def __call__(self, shape, dtype=None):
        kernel = self.he_normal(shape, dtype=dtype)
        scales = ops.convert_to_tensor(self.scales, dtype=kernel.dtype)
        return kernel * ops.expand_dims(scales, -1)

    def get_config(self):
        return {"scales": self.scales, "seed": self.seed}


def _flatten_to_logits(x):
    return layers.Reshape(
        (CANVAS_SIZE * CANVAS_SIZE,), dtype="float32", name="logits"
    )(x)


def _l2_penalty(l2):
    return regularizers.L2(l2) if l2 else None
