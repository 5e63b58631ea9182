"""Generative adversarial networks for 64x64 images, Section 5.

Generators map `latent`, of shape `(batch, latent_size)`, to an `image` in
[-1, 1], of shape `(batch, 64, 64, 3)`; discriminators map an image to the logit
of the image being real. Two compiled models train them, one each:

    generator = gan.coordconv_generator()
    discriminator = gan.discriminator(coordinates="first")
    models = generator, discriminator
    discriminator_step = gan.discriminator_step(*models, optimizer)
    generator_step = gan.generator_step(*models, another_optimizer)
"""

import keras
import numpy as np
from keras import initializers
from keras import layers
from keras import ops

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import CoordConv2DTranspose

# Which of the convolutions are CoordConvs.
COORDINATES = ("none", "first", "all")
CHANNELS = 3


def coordconv_generator(latent_size=256, width=1.0, name="generator"):
    """CoordConv generator of the paper: a pixel from `latent` and its position.

    444,931 parameters at width 1. As in the authors' code, there is no final
    tanh: with one, the generator soon outputs only -1 and 1, where tanh has no
    gradient, and the discriminator wins.

    Args:
        latent_size: Integer, length of the latent vector.
        width: Float, factor on the number of filters.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.
    """
    latent = keras.Input((latent_size,), name="latent")
    x = layers.Reshape((1, 1, latent_size), name="pixel")(latent)
    x = layers.UpSampling2D(CANVAS_SIZE, name="tile")(x)
    for index, (filters, size) in enumerate(
        ((512, 1), (256, 1), (256, 1), (128, 1), (64, 1), (64, 3), (64, 3)),
        start=1,
    ):
        convolution = CoordConv2D if index == 1 else layers.Conv2D
        x = convolution(
            round(width * filters),
            size,
            padding="same",
            activation="relu",
            kernel_initializer=initializers.HeNormal(),
            name=f"conv{index}",
        )(x)
    image = layers.Conv2D(CHANNELS, 1, dtype="float32", name="image")(x)
    return keras.Model(latent, {"image": image}, name=name)


def conv_generator(
    latent_size=256, width=1.0, coordinates="none", name="generator"
):
    """Deconvolution generator of the paper, as in DCGAN.

    6,413,315 parameters at width 1 without coordinates. As in DCGAN, the
    initial weights are small, so that the final tanh does not start saturated.

    Args:
        latent_size: Integer, length of the latent vector.
        width: Float, factor on the number of filters.
        coordinates: String, which transposed convolutions are CoordConvs:
            `"none"`, `"first"` or `"all"`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if `coordinates` is unknown.
    """
    latent = keras.Input((latent_size,), name="latent")
    first = (4, 4, round(512 * width))
    x = layers.Dense(
        first[0] * first[1] * first[2],
        kernel_initializer=initializers.RandomNormal(stddev=0.02),
        name="dense",
    )(latent)
    x = layers.Reshape(first, name="reshape")(x)
    for index, filters in enumerate((256, 128, 64, CHANNELS), start=1):
        x = layers.ReLU(name=f"relu{index}")(_normalize(x, f"norm{index}"))
        deconvolution = (
            CoordConv2DTranspose
            if _has_coordinates(coordinates, index)
            else layers.Conv2DTranspose
        )
        x = deconvolution(
            filters if filters == CHANNELS else round(width * filters),
            5,
            strides=2,
            padding="same",
            kernel_initializer=initializers.RandomNormal(stddev=0.02),
            name=f"deconv{index}",
        )(x)
    image = layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model(latent, {"image": image}, name=name)


def discriminator(width=1.0, coordinates="none", name="discriminator"):
    """Discriminator of the paper, as in DCGAN.

    4,316,545 parameters at width 1 without coordinates; 4,319,745 with
    coordinates in the first convolution.

    Args:
        width: Float, factor on the number of filters.
        coordinates: String, which convolutions are CoordConvs: `"none"`,
            `"first"` or `"all"`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if `coordinates` is unknown.
    """
    image = keras.Input((CANVAS_SIZE, CANVAS_SIZE, CHANNELS), name="image")
    x = apply_convolutions(image, width, coordinates)
    logit = layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(image, logit, name=name)


def apply_convolutions(x, width=1.0, coordinates="none"):
    """Applies the convolutions of the discriminator.

    Args:
        x: Tensor of shape `(batch, 64, 64, channels)`.
        width, coordinates: See `discriminator`.

    Returns:
        Tensor of shape `(batch, features)`.
    """
    for index, filters in enumerate((64, 128, 256, 512), start=1):
        convolution = (
            CoordConv2D
            if _has_coordinates(coordinates, index)
            else layers.Conv2D
        )
        x = convolution(
            round(width * filters),
            5,
            strides=2,
            padding="same",
            kernel_initializer=initializers.HeNormal(),
            name=f"conv{index}",
        )(x)
        if index > 1:
            x = _normalize(x, f"norm{index}")
        x = layers.LeakyReLU(0.2, name=f"relu{index}")(x)
    return layers.Flatten(name="flatten")(x)


def discriminator_step(generator, discriminator, optimizer):
    """Model that trains the discriminator and keeps the generator fixed.

    Args:
        generator, discriminator: Models of this module.
        optimizer: Keras optimizer, used for this model only.

    Returns:
        Compiled `keras.Model` from `image`, real images, and `latent`, to the
        logits `real` of these images and `generated` of the images generated
        from `latent`. Its losses are sigmoid cross-entropies.
    """
    inputs = {"image": discriminator.input, "latent": generator.input}
    outputs = {
        "real": discriminator(inputs["image"]),
        "generated": discriminator(generator(inputs["latent"])["image"]),
    }
    model = PartiallyTrainableModel(inputs, outputs, part=discriminator)
    model.compile(optimizer, dict.fromkeys(outputs, _sigmoid_loss()))
    return model


def generator_step(generator, discriminator, optimizer):
    """Model that trains the generator and keeps the discriminator fixed.

    Args:
        generator, discriminator, optimizer: See `discriminator_step`.

    Returns:
        Compiled `keras.Model` from `latent` to the logit of the image generated
        from it.
    """
    logit = discriminator(generator(generator.input)["image"])
    model = PartiallyTrainableModel(generator.input, logit, part=generator)
    model.compile(optimizer, _sigmoid_loss())
    return model


def draw(generator, latent):
    """Generates images.

    Args:
        generator: Generator of this module.
        latent: Float array of shape `(images, latent_size)`.

    Returns:
        uint8 array of shape `(images, 64, 64, 3)`.
    """
    images = generator.predict(latent, verbose=0)["image"]
    return np.round(127.5 * (images.clip(-1, 1) + 1.0)).astype("uint8")


def serving_outputs(outputs):
    """Converts a generator's outputs to those served: `image` in [0, 1]."""
    return {"image": ops.clip((outputs["image"] + 1.0) / 2.0, 0.0, 1.0)}


class PartiallyTrainableModel(keras.Model):
    """Functional model that trains only one of its parts.

    `trainable = False` cannot express this: it is set on the variables, which
    another model trains.

    Args:
        inputs, outputs: See `keras.Model`.
        part: `keras.Model`, the layer of this model to train.
    """

    def __init__(self, inputs, outputs, part):
        super().__init__(inputs, outputs, name=f"{part.name}_step")
        self._part = part

    @property
    def trainable_variables(self):
        return self._part.trainable_variables

    @property
    def trainable_weights(self):
        return self._part.trainable_weights

    @property
    def non_trainable_variables(self):
        return _without(self.variables, self.trainable_variables)

    @property
    def non_trainable_weights(self):
        return _without(self.weights, self.trainable_weights)


def _sigmoid_loss():
    return keras.losses.BinaryCrossentropy(from_logits=True)


def _without(variables, others):
    excluded = {id(variable) for variable in others}
    return [variable for variable in variables if id(variable) not in excluded]


def _has_coordinates(coordinates, index):
    if coordinates not in COORDINATES:
        raise ValueError(
            f"`coordinates` must be one of {', '.join(COORDINATES)}. "
            f"Received: coordinates={coordinates!r}"
        )
    return coordinates == "all" or (coordinates == "first" and index == 1)


def _normalize(x, name):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
