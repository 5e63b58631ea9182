"""What several models share: the nets from (x, y) to pixels, and penalties."""

from keras import initializers
from keras import layers
from keras import ops
from keras import regularizers

from keras_coordconv.layers import CoordConv2D

CANVAS_SIZE = 64
INITIALIZATIONS = ("he", "offsets")


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
    """Sets the first layer to offsets of (x, y) from each pixel.

    He initialization makes random sums of x and y, which are in pixels, and of
    coordinates in [-1, 1]. After this, each filter is

        relu(a (x - column) + b (y - row))

    with He's random a and b divided by 8. It depends on the offset between the
    pixel and (x, y) alone, not on where on the canvas they are. All weights are
    trained from there.

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
