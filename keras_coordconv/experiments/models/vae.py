"""Variational autoencoder of 64x64 images, Section 5.

The paper does not describe its network. Here, the encoder is the discriminator
of the paper's GAN, with or without coordinates. The decoder without coordinates
is the GAN's generator; the decoder with coordinates was designed for this
project.
"""

import keras
import numpy as np
from keras import initializers
from keras import layers
from keras import ops

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.models import gan
from keras_coordconv.layers import CoordConv2D

LAYERS = ("coordconv", "conv")


def encoder(layer="coordconv", latent_size=16, width=1.0, name="encoder"):
    """Encoder: maps images to distributions in the latent space.

    Args:
        layer: String, `"coordconv"`, with coordinates in the first convolution,
            or `"conv"`.
        latent_size: Integer, dimension of the latent space.
        width: Float, factor on the number of filters.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image`, in [-1, 1], to `mean` and
        `log_variance`, both of shape `(batch, latent_size)`.

    Raises:
        ValueError: if `layer` is unknown.
    """
    _check_layer(layer)
    image = keras.Input((CANVAS_SIZE, CANVAS_SIZE, gan.CHANNELS), name="image")
    x = gan.apply_convolutions(
        image, width, "first" if layer == "coordconv" else "none"
    )
    outputs = {
        output: layers.Dense(latent_size, dtype="float32", name=output)(x)
        for output in ("mean", "log_variance")
    }
    return keras.Model(image, outputs, name=name)


def decoder(layer="coordconv", latent_size=16, width=1.0, name="decoder"):
    """Decoder: maps points of the latent space to images.

    With coordinates, four 1x1 convolutions compute each point of a 32x32 grid
    from the latent vector and its own position, and a transposed convolution
    turns the grid into the image. The CoordConv generator of the GAN learns the
    task more slowly: for a long time, it paints both objects in the mean of
    their colors.

    Args:
        layer: String, `"coordconv"`, or `"conv"`, the generator of the GAN.
        latent_size, width, name: See `encoder`.

    Returns:
        A Functional `keras.Model` from `latent` to `image`, in [-1, 1].

    Raises:
        ValueError: if `layer` is unknown.
    """
    _check_layer(layer)
    if layer == "conv":
        return gan.conv_generator(latent_size, width, name=name)
    arguments = {
        "padding": "same",
        "activation": "relu",
        "kernel_initializer": initializers.HeNormal(),
    }
    latent = keras.Input((latent_size,), name="latent")
    x = layers.Reshape((1, 1, latent_size), name="pixel")(latent)
    x = layers.UpSampling2D(CANVAS_SIZE // 2, name="tile")(x)
    for index in range(1, 5):
        convolution = CoordConv2D if index == 1 else layers.Conv2D
        x = convolution(
            round(width * 512), 1, name=f"conv{index}", **arguments
        )(x)
    x = layers.Conv2DTranspose(
        round(width * 128), 4, strides=2, name="deconv", **arguments
    )(x)
    image = layers.Conv2D(gan.CHANNELS, 1, dtype="float32", name="image")(x)
    return keras.Model(latent, {"image": image}, name=name)


def autoencoder(encoder, decoder, kl_weight=1.0, name="autoencoder"):
    """Autoencoder that trains an encoder and a decoder.

    Args:
        encoder, decoder: Models from the functions of these names.
        kl_weight: Float, weight of the divergence, see `Sampling`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model` from `image` to `image`.
    """
    image = keras.Input(encoder.input.shape[1:], name="image")
    latent = Sampling(kl_weight, dtype="float32", name="sampling")(
        encoder(image)
    )
    return keras.Model(image, decoder(latent), name=name)


def interpolate(encoder, decoder, images, steps):
    """Interpolates linearly between the codes of images.

    Args:
        encoder, decoder: Models from the functions of these names.
        images: uint8 array of shape `(2 * lines, 64, 64, 3)`, the first and the
            last image of each line.
        steps: Integer, number of images to draw per line, including both ends.

    Returns:
        uint8 array of shape `(lines, steps, 64, 64, 3)`.
    """
    codes = encoder.predict(images / 127.5 - 1, verbose=0)["mean"]
    ends = codes.reshape(-1, 2, 1, codes.shape[-1])
    parts = np.linspace(0, 1, steps)[:, None]
    latent = (1 - parts) * ends[:, 0] + parts * ends[:, 1]
    drawn = gan.draw(decoder, latent.reshape(-1, codes.shape[-1]))
    return drawn.reshape(-1, steps, *images.shape[1:])


@keras.saving.register_keras_serializable(package="keras_coordconv")
class Sampling(keras.layers.Layer):
    """Layer that samples normal distributions; outside training, their means.

    It adds a loss: the Kullback-Leibler divergence of these distributions from
    the standard normal distribution, summed over the latent axis and averaged
    over the images.

    Args:
        kl_weight: Float, weight of this loss.
        seed: Integer, seed of the random numbers.

    Input: dictionary of `mean` and `log_variance`, of shape `(batch, size)`.
    """

    def __init__(self, kl_weight=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.kl_weight = kl_weight
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        mean, log_variance = inputs["mean"], inputs["log_variance"]
        divergence = 0.5 * ops.sum(
            ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance,
            axis=-1,
        )
        self.add_loss(self.kl_weight * ops.mean(divergence))
        if not training:
            return mean
        noise = keras.random.normal(
            ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator
        )
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, input_shape):
        return input_shape["mean"]

    def get_config(self):
        return {
            **super().get_config(),
            "kl_weight": self.kl_weight,
            "seed": self.seed,
        }


def _check_layer(layer):
    if layer not in LAYERS:
        raise ValueError(
            f"`layer` must be one of {', '.join(LAYERS)}. "
            f"Received: layer={layer!r}"
        )
