"""Rendering: from (x, y) to the image of a square around it, Section 4.

Both models have the input `location` of shape `(batch, 2)`, the (x, y) of a
pixel, x being the column, and return a dictionary with the logits of the
`image`, `(batch, 64, 64, 1)`. The CoordConv model first finds the center, and
also returns its logits, `center` of shape `(batch, 4096)`, for the paper's
optional loss.
"""

import keras
from keras import layers
from keras import ops

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models.blocks import apply_coordconv_stack
from keras_coordconv.experiments.models.blocks import apply_deconv_stack
from keras_coordconv.experiments.models.blocks import flatten_to_logits
from keras_coordconv.experiments.models.blocks import l2_penalty
from keras_coordconv.experiments.models.blocks import scaled_he_normal


def coordconv_renderer(
    filter_size=1,
    width=1,
    l2=0.0,
    units="pixels",
    first_layer_scale=1.0,
    center_scale=1.0,
    name="coordconv_renderer",
):
    """CoordConv renderer: finds the center, then paints the square around it.

    8,074 parameters at width 1 and 9,490 at width 2 with a filter size of 1.

    Args:
        filter_size: Integer, height and width of the painting kernels.
        width: Integer, factor on the number of painting filters.
        l2: Float, weight of the penalty on the sum of the squared kernels.
        units, first_layer_scale: See `blocks.apply_coordconv_stack`.
        center_scale: Float, factor on the initial kernel of the first painting
            layer. 1, as in the paper, is He initialization, which assumes
            inputs of about 1; but the input is a softmax over 4096 pixels,
            which starts at 1/4096.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `center` and `image`.
    """
    inputs = keras.Input((2,), name="location")
    center = flatten_to_logits(
        apply_coordconv_stack(inputs, l2, units, first_layer_scale),
        name="center",
    )
    x = layers.Softmax(name="center_probabilities")(center)
    x = layers.Reshape((CANVAS_SIZE, CANVAS_SIZE, 1), name="center_map")(x)
    for index, filters in enumerate((8, 8, 16, 16, 1), start=1):
        last = filters == 1
        x = layers.Conv2D(
            filters if last else width * filters,
            filter_size,
            padding="same",
            activation=None if last else "relu",
            kernel_initializer=scaled_he_normal(
                center_scale if index == 1 else 1.0
            ),
            kernel_regularizer=l2_penalty(l2),
            name=f"paint{index}",
        )(x)
    return keras.Model(
        inputs, {"center": center, "image": _image_logits(x)}, name=name
    )


def conv_renderer(filter_size=3, width=2, l2=0.0, name="conv_renderer"):
    """Deconvolution renderer, with the layers of coordinate classification.

    Args:
        filter_size: Integer, height and width of the kernels.
        width: Integer, factor on the number of filters (`c` in the paper).
        l2: Float, weight of the penalty on the sum of the squared kernels.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `location` to `image`.
    """
    inputs = keras.Input((2,), name="location")
    x = apply_deconv_stack(inputs, filter_size, width, l2=l2)
    return keras.Model(inputs, {"image": _image_logits(x)}, name=name)


def serving_outputs(outputs):
    """Converts the model's outputs to those served: `image` in [0, 1]."""
    return {"image": ops.sigmoid(outputs["image"])}


def _image_logits(x):
    return layers.Activation("linear", dtype="float32", name="image")(x)
