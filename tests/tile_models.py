"""Fully convolutional models of many kinds, with random weights."""

import keras
import numpy as np
from keras import layers

import keras_coordconv as kc


def unet(channels_first=False):
    """Odd sizes: what pooling rounds up, cropping takes away again."""
    data_format = "channels_first" if channels_first else "channels_last"
    axis = 1 if channels_first else -1
    arguments = {"padding": "same", "data_format": data_format}
    size = (None, None)
    image = keras.Input((3, *size) if channels_first else (*size, 3))
    x, skips = image, []
    for filters in (4, 6):
        x = layers.Conv2D(filters, 3, activation="relu", **arguments)(x)
        x = layers.BatchNormalization(axis=axis)(x)
        skips.append(x)
        x = layers.MaxPooling2D(data_format=data_format)(x)
    x = kc.CoordConv2D(8, 3, activation="gelu", **arguments)(x)
    for filters in (6, 4):
        x = layers.Conv2DTranspose(filters, 3, 2, **arguments)(x)
        x = layers.Concatenate(axis=axis)([x, skips.pop()])
        x = layers.Conv2D(filters, 3, activation="relu", **arguments)(x)
    return keras.Model(image, layers.Conv2D(2, 1, **arguments)(x))


def unet_channels_first():
    return unet(channels_first=True)


def residual_body():
    """Projections, strides, and a padded stem, as of ResNet."""
    image = keras.Input((None, None, 3))
    x = layers.ZeroPadding2D(3)(image)
    x = layers.Conv2D(8, 7, 2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.ZeroPadding2D(((1, 1), (1, 1)))(x)
    x = layers.MaxPooling2D(3, 2)(x)
    for strides in (1, 2):
        shortcut = layers.Conv2D(12, 1, strides)(x)
        x = layers.Conv2D(6, 1, strides, activation="relu")(x)
        x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        x = layers.Conv2D(12, 1)(x)
        x = layers.Activation("relu")(layers.Add()([shortcut, x]))
    return keras.Model(image, x)


def dilated():
    """As of DeepLab: parallel dilations, then interpolation."""
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(image)
    branches = [
        layers.Conv2D(4, 3, dilation_rate=rate, padding="same")(x)
        for rate in (1, 3, 5)
    ]
    x = layers.concatenate(branches)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x * 0.5 + 1.0)
    return keras.Model(image, layers.Softmax()(layers.Conv2D(3, 1)(x)))


def pyramid():
    """Outputs at three strides, by name."""
    image = keras.Input((None, None, 3))
    levels, x = [], image
    for filters in (4, 6, 8):
        x = layers.Conv2D(filters, 3, 2, padding="same", activation="relu")(x)
        levels.append(x)
    top, outputs = layers.Conv2D(4, 1)(levels[-1]), {}
    for stride, level in zip((8, 4, 2), reversed(levels), strict=True):
        if stride < 8:
            top = layers.UpSampling2D()(top)
            top = top + layers.Conv2D(4, 1)(level)
        outputs[f"stride_{stride}"] = layers.Conv2D(2, 3, padding="same")(top)
    return keras.Model(image, outputs)


def transposed():
    """Output paddings, gaps, and kernels that are shorter than strides."""
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(4, 5, 3, padding="same")(image)
    x = layers.Conv2DTranspose(4, 3, 2, padding="same", output_padding=1)(x)
    x = layers.Conv2DTranspose(3, 2, 3, "valid", activation="tanh")(x)
    x = layers.Conv2D(3, 3, 2)(x)
    x = kc.CoordConv2DTranspose(2, 5, 2, "same", output_padding=(1, 1))(x)
    return keras.Model(image, x)


def coordconv_everywhere():
    image = keras.Input((None, None, 2))
    x = kc.CoordinateChannel2D(use_radius=True)(image)
    x = kc.CoordConv2D(
        4, 3, padding="same", use_radius=True, coordinate_range="pixel"
    )(x * 0.1)
    x = layers.LayerNormalization()(x)
    x = kc.CoordSeparableConv2D(
        5, 3, strides=2, padding="same", encoding=kc.FourierFeatures(4)
    )(x)
    x = kc.CoordDepthwiseConv2D(3, axes=(1,), align="edges")(x)
    x = kc.CoordConv2DTranspose(3, 4, 2, "same", align="period")(x)
    return keras.Model(image, kc.CoordConv2D(2, 1, radius_center=0.3)(x))


def frames_of_calls():
    """A frame that is followed through the model, and one that is given."""
    image, affine = (
        keras.Input((None, None, 2)),
        keras.Input((3, 3), name="affine"),
    )
    x = kc.CoordConv2D(4, 3, 2, padding="same")(image, affine=affine)
    x = layers.ELU()(layers.AveragePooling2D(3, 2, padding="same")(x))
    frame = kc.follow_affine(x, affine)
    x = kc.CoordConv2D(3, 3, use_radius=True, radius_center=0.0)(
        x, affine=frame
    )
    return keras.Model([image, affine], x)


def several_inputs():
    """One of them the coordinates themselves."""
    image, other = keras.Input((None, None, 2)), keras.Input((None, None, 1))
    maps = keras.Input((None, None, 3), name="maps")
    x = kc.CoordConv2D(3, 3, padding="same")(image, coordinates=maps)
    y = layers.DepthwiseConv2D(3, padding="same")(other)
    x = layers.PReLU(shared_axes=[1, 2])(layers.Multiply()([x, y]))
    return keras.Model(
        {"image": image, "other": other, "maps": maps},
        [layers.MaxPooling2D()(x), layers.Dense(2)(x)],
    )


def nested():
    """One block inside, called twice, at two strides."""
    inner = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            kc.CoordConv2D(3, 3, padding="same", activation="relu"),
            keras.Sequential([layers.Conv2D(3, 3, padding="same")]),
        ]
    )
    image = keras.Input((None, None, 3))
    x = layers.AveragePooling2D(2)(inner(image))
    return keras.Model(image, layers.UpSampling2D((3, 1))(inner(x)))


def sequence():
    return keras.Sequential(
        [
            keras.Input((None, 3)),
            layers.Conv1D(4, 5, padding="causal", dilation_rate=2),
            kc.CoordConv1D(4, 4, strides=3, padding="same"),
            layers.UpSampling1D(3),
            layers.Cropping1D((1, 2)),
            layers.ZeroPadding1D((0, 4)),
            layers.SeparableConv1D(2, 2),
        ]
    )


def volume():
    image = keras.Input((None, None, None, 1))
    x = kc.CoordConv3D(3, 3, padding="same", activation="relu")(image)
    skip = x
    x = layers.MaxPooling3D((1, 2, 2))(x)
    x = kc.CoordConv3D(4, (1, 3, 3), padding="same")(x)
    x = layers.Conv3DTranspose(3, (1, 2, 2), (1, 2, 2))(x)
    return keras.Model(image, layers.Conv3D(2, 1)(layers.add([x, skip])))


# With sizes of images: the sides are odd where the model takes them.
MODELS = {
    unet: ((60, 92), 44),
    residual_body: ((177, 161), 128),
    dilated: ((86, 54), 40),
    pyramid: ((96, 136), (72, 88)),
    transposed: ((64, 53), (40, 33)),
    coordconv_everywhere: ((37, 60), 21),
    frames_of_calls: ((45, 62), 24),
    several_inputs: ((41, 30), (20, 30)),
    nested: ((46, 34), (24, 26)),
    sequence: ((101,), 47),
    volume: ((9, 22, 26), (5, 14, 16)),
}


def randomize(model, seed=0):
    """Weights that leave the values about as large as they are."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = random.normal(size=weight.shape)
        if "variance" in weight.name or "gamma" in weight.name:
            values = 1 + 0.1 * abs(values)
        elif len(weight.shape) > 1:
            values = values / np.sqrt(np.prod(weight.shape[:-1]))
        weight.assign(values)
    return model


def random_images(model, size, seed=0):
    """Images without a batch axis, for each input but `affine`, and that."""
    random = np.random.default_rng(seed)
    images, affine = [], None
    for symbol in model.inputs:
        if symbol.name == "affine":
            shape = (1, *symbol.shape[1:])
            affine = random.normal(size=shape).astype("float32")
            affine[..., :-1] /= 50
            continue
        shape = [*size, symbol.shape[-1]]
        if symbol.shape[-1] is None:
            shape = [symbol.shape[1], *size]
        images.append(random.normal(size=shape).astype("float32"))
    return images, affine
