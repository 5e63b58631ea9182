"""Coordinate classification: from (x, y) to the pixel at (x, y), Section 4.

Both models have the input `location` of shape `(batch, 2)`, the (x, y) of a
pixel, x being the column, and the output `logits` of shape `(batch, 4096)`, one
per pixel of the 64x64 canvas, row by row.
"""

import keras
from keras import ops

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models.blocks import apply_coordconv_stack
from keras_coordconv.experiments.models.blocks import apply_deconv_stack
from keras_coordconv.experiments.models.blocks import flatten_to_logits


def coordconv_classifier(
    l2=0.0,
    units="pixels",
    first_layer_scale=1.0,
    name="coordconv_classifier",
):
    """CoordConv classifier: 1x1 convolutions only, 7,553 parameters.

    (x, y) is repeated at every pixel, next to the pixel's own coordinates. The
    convolutions then decide for each pixel alone whether it is at (x, y).

    Args:
        l2: Float, weight of the penalty on the sum of the squared kernels.
        units, first_layer_scale: See `blocks.apply_coordconv_stack`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `logits`.

    Raises:
        ValueError: if the units are unknown.
    """
    inputs = keras.Input((2,), name="location")
    x = apply_coordconv_stack(inputs, l2, units, first_layer_scale)
    return keras.Model(inputs, flatten_to_logits(x), name=name)


def conv_classifier(filter_size=3, width=2, l2=0.0, name="conv_classifier"):
    """Deconvolution classifier: six transposed convolutions, 1x1 to 64x64.

    Trainable parameters for filter sizes 2 / 3 / 4: 46,465 / 103,585 / 183,553
    at width 1; 183,041 / 409,921 / 727,553 at width 2; 409,729 / 919,009 /
    1,632,001 at width 3.

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
    """Converts the logits to the outputs of the served model.

    Args:
        logits: Tensor of shape `(batch, 4096)`.

    Returns:
        Dictionary of `probabilities`, `(batch, 4096)`, and of `row` and
        `column` of the most likely pixel, int32 of shape `(batch,)`.
    """
    pixel = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return {
        "probabilities": ops.softmax(logits),
        "row": ops.floor_divide(pixel, CANVAS_SIZE),
        "column": ops.mod(pixel, CANVAS_SIZE),
    }
