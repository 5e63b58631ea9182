"""Building blocks of several models: (x, y) to pixels, and penalties."""

from keras import initializers
from keras import layers
from keras import regularizers

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.layers import CoordConv2D

# Units of (x, y) and of the coordinates; the authors' code uses "mixed".
UNITS = ("pixels", "mixed", "normalized")


def apply_coordconv_stack(
    location, l2=0.0, units="pixels", first_layer_scale=1.0
):
    """Maps (x, y) to one number per pixel with CoordConv.

    Args:
        location: Tensor of shape `(batch, 2)`, (x, y) in pixels.
        l2: Float, weight of the penalty on the sum of the squared kernels.
        units: String, the units of (x, y) and of the coordinates: `"pixels"`,
            both from 0 to 63, as in the paper's Figure 3; `"mixed"`, (x, y) in
            pixels and coordinates in [-1, 1], as in the authors' code;
            `"normalized"`, both in [-1, 1].
        first_layer_scale: Float, factor on the initial kernel of the first
            layer. 1 is He initialization, as in the paper.

    Returns:
        Tensor of shape `(batch, 64, 64, 1)`.

    Raises:
        ValueError: if the units are unknown.
    """
    if units not in UNITS:
        raise ValueError(
            f"`units` must be one of {', '.join(UNITS)}. "
            f"Received: units={units!r}"
        )
    x = location
    if units == "normalized":
        x = layers.Rescaling(2 / (CANVAS_SIZE - 1), -1, name="normalize")(x)
    x = layers.Reshape((1, 1, 2), name="pixel")(x)
    x = layers.UpSampling2D(CANVAS_SIZE, name="tile")(x)
    x = CoordConv2D(
        32,
        1,
        activation="relu",
        coordinate_range="pixel" if units == "pixels" else (-1.0, 1.0),
        kernel_initializer=scaled_he_normal(first_layer_scale),
        kernel_regularizer=l2_penalty(l2),
        name="coordconv1",
    )(x)
    return apply_pixel_stack(x, 1, l2)


def apply_pixel_stack(x, kernel_size, l2=0.0):
    """Applies the layers of the CoordConv network after the first one.

    Args:
        x: Tensor of shape `(batch, 64, 64, channels)`.
        kernel_size: Integer. 1 in the paper: each pixel is processed alone.
        l2: Float, weight of the penalty on the sum of the squared kernels.

    Returns:
        Tensor of shape `(batch, 64, 64, 1)`.
    """
    for index, filters in enumerate((32, 64, 64, 1), start=2):
        x = layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            activation="relu" if filters > 1 else None,
            kernel_initializer=initializers.HeNormal(),
            kernel_regularizer=l2_penalty(l2),
            name=f"conv{index}",
        )(x)
    return x


def apply_deconv_stack(location, filter_size, width, l2=0.0):
    """Maps (x, y) to one number per pixel by transposed convolutions.

    Args:
        location: Tensor of shape `(batch, 2)`, (x, y) in pixels.
        filter_size: Integer, height and width of the kernels.
        width: Integer, factor on the number of filters.
        l2: Float, weight of the penalty on the sum of the squared kernels.

    Returns:
        Tensor of shape `(batch, 64, 64, 1)`.
    """
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


def flatten_to_logits(x, name="logits"):
    """Reshapes `(batch, 64, 64, 1)` to float32 logits, `(batch, 4096)`."""
    return layers.Reshape(
        (CANVAS_SIZE * CANVAS_SIZE,), dtype="float32", name=name
    )(x)


def scaled_he_normal(scale):
    """Returns a He initializer whose weights are multiplied by `scale`."""
    return initializers.VarianceScaling(
        2.0 * scale**2, mode="fan_in", distribution="truncated_normal"
    )


def l2_penalty(l2):
    """Returns the penalty `l2` times the sum of squares, or `None` for 0."""
    return regularizers.L2(l2) if l2 else None
