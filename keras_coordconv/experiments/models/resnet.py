"""ImageNet classification: ResNet-50, plain or after a CoordConv, Section 5.

The input is `image`, `(batch, height, width, 3)`, normalized as in
`datasets.imagenet`; the output is `logits`, `(batch, classes)`, in float32. The
layers in between are named as in `keras.applications.ResNet50`.
"""

import keras
from keras import initializers
from keras import layers
from keras import ops

from keras_coordconv.experiments.models.blocks import l2_penalty
from keras_coordconv.layers import CoordConv2D

LAYERS = ("coordconv", "conv", "conv_stem")
STEM_FILTERS = 8
# Number of filters and blocks of the four stages, `conv2` to `conv5`.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def resnet50(
    layer="coordconv",
    classes=1000,
    image_size=224,
    l2=0.0,
    data_format=None,
    synchronized=False,
    name=None,
):
    """ResNet-50: after a CoordConv, after a convolution, or alone.

    25,557,032 trainable parameters with `layer="conv"` and 1000 classes. The
    CoordConv stem adds 15,736: its own 6 x 8 + 8, and 7 x 7 x 64 for each of
    the 5 additional input channels of the first convolution.

    Unlike in `keras.applications.ResNet50`, the stride of a stage is in its
    first 3x3 convolution (version 1.5 of the network), convolutions have no
    biases, and the scales of the last normalization in each block start at
    zero, so that a block starts as the identity.

    Args:
        layer: String. `"coordconv"`, the paper's model: a 1x1 CoordConv with
            radius from RGB to 8 channels, then the unchanged ResNet. `"conv"`:
            the ResNet alone. `"conv_stem"`: a plain 1x1 convolution to 8
            channels instead of the CoordConv, which shows the effect of one
            more layer without coordinates.
        classes: Integer, number of classes.
        image_size: Integer, or pair of integers or `None`s: height and width.
        l2: Float, weight of the penalty on the sum of the squared kernels.
        data_format: String, `"channels_last"` or `"channels_first"`. Defaults
            to `keras.config.image_data_format()`.
        synchronized: Boolean, whether batch normalization averages over all
            devices of a `tf.distribute` strategy. TensorFlow backend only.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `logits`.

    Raises:
        ValueError: if `layer` is unknown.

    Example:

    >>> model = resnet50("coordconv", classes=10, image_size=64)
    """
    if layer not in LAYERS:
        raise ValueError(f"`layer` must be one of {LAYERS}. Received: {layer=}")
    data_format = data_format or keras.config.image_data_format()
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    build = _Layers(l2, data_format, synchronized)

    channels_first = data_format == "channels_first"
    inputs = keras.Input(
        (3, *image_size) if channels_first else (*image_size, 3), name="image"
    )
    x = apply_stem(inputs, layer, data_format, l2)
    x = build.padding(3, "conv1_pad")(x)
    x = build.convolution(64, 7, 2, "conv1_conv")(x)
    x = build.normalization("conv1_bn")(x)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = build.padding(1, "pool1_pad")(x)
    x = layers.MaxPooling2D(3, 2, data_format=data_format, name="pool1_pool")(x)
    for stage, (filters, blocks) in enumerate(STAGES, start=2):
        for block in range(1, blocks + 1):
            x = apply_block(
                x,
                filters,
                stride=2 if block == 1 and stage > 2 else 1,
                project=block == 1,
                build=build,
                name=f"conv{stage}_block{block}",
            )
    x = layers.GlobalAveragePooling2D(data_format=data_format, name="avg_pool")(
        x
    )
    logits = layers.Dense(
        classes,
        kernel_initializer=initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=l2_penalty(l2),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(inputs, logits, name=name or f"resnet50_{layer}")


def apply_stem(x, layer, data_format, l2=0.0):
    """Applies the layer before the ResNet: CoordConv, convolution or none."""
    if layer == "conv":
        return x
    arguments = {
        "data_format": data_format,
        "kernel_regularizer": l2_penalty(l2),
        "name": "stem",
    }
    if layer == "coordconv":
        return CoordConv2D(STEM_FILTERS, 1, use_radius=True, **arguments)(x)
    return layers.Conv2D(STEM_FILTERS, 1, **arguments)(x)


def apply_block(x, filters, stride, project, build, name):
    """Applies a bottleneck block: 1x1, 3x3, 1x1 convolutions and a shortcut.

    Args:
        x: Tensor.
        filters: Integer, number of filters of the first two convolutions; the
            last one has four times as many.
        stride: Integer, stride of the block.
        project: Boolean, whether the shortcut has a convolution.
        build: The model's `_Layers`.
        name: String, prefix of the names of all layers.

    Returns:
        Tensor.
    """
    shortcut = x
    if project:
        shortcut = build.convolution(4 * filters, 1, stride, f"{name}_0_conv")(
            shortcut
        )
        shortcut = build.normalization(f"{name}_0_bn")(shortcut)
    x = build.convolution(filters, 1, 1, f"{name}_1_conv")(x)
    x = build.normalization(f"{name}_1_bn")(x)
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    if stride > 1:
        # Padding "same" would pad even sizes on one side only.
        x = build.padding(1, f"{name}_2_pad")(x)
    x = build.convolution(
        filters,
        3,
        stride,
        f"{name}_2_conv",
        padding="valid" if stride > 1 else "same",
    )(x)
    x = build.normalization(f"{name}_2_bn")(x)
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = build.convolution(4 * filters, 1, 1, f"{name}_3_conv")(x)
    x = build.normalization(f"{name}_3_bn", ends_block=True)(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def serving_outputs(logits):
    """Converts logits to the outputs of the served model: `probabilities`."""
    return {"probabilities": ops.softmax(logits)}


class _Layers:
    """Builds the layers of one model with its common settings."""

    def __init__(self, l2, data_format, synchronized):
        self.l2 = l2
        self.data_format = data_format
        self.synchronized = synchronized

    def padding(self, pixels, name):
        return layers.ZeroPadding2D(
            pixels, data_format=self.data_format, name=name
        )

    def convolution(self, filters, size, strides, name, padding="valid"):
        return layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            data_format=self.data_format,
            use_bias=False,
            kernel_initializer=initializers.VarianceScaling(
                2.0, mode="fan_out", distribution="truncated_normal"
            ),
            kernel_regularizer=l2_penalty(self.l2),
            name=name,
        )

    def normalization(self, name, ends_block=False):
        return layers.BatchNormalization(
            axis=1 if self.data_format == "channels_first" else -1,
            momentum=0.9,
            epsilon=1e-5,
            gamma_initializer="zeros" if ends_block else "ones",
            synchronized=self.synchronized,
            name=name,
        )
