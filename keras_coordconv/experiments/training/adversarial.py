"""Trains a generator and a discriminator in turn."""

import keras
import numpy as np


def train_epoch(
    discriminator_step, generator_step, images, random, generator_updates=2
):
    """Trains both models for one epoch.

    Each batch is used for one step of the discriminator, which is followed by
    steps of the generator. The epoch ends early if a loss is not finite.

    Args:
        discriminator_step: Compiled `keras.Model` from `image` and `latent`
            to the logits `real` and `generated`.
        generator_step: Compiled `keras.Model` from `latent` to a logit.
        images: `tf.data.Dataset` of batches of images in [-1, 1].
        random: `np.random.Generator` for the latent vectors, which are uniform
            in [-1, 1].
        generator_updates: Integer, number of generator steps per batch.

    Returns:
        Dictionary with `discriminator_loss` and `generator_loss`, the means
        over the epoch.
    """

    def draw_latent():
        shape = (count, *generator_step.input_shape[1:])
        return random.uniform(-1, 1, shape).astype("float32")

    discriminator_step.reset_metrics()
    generator_step.reset_metrics()
    batches = int(images.cardinality())  # Negative if unknown.
    progress = keras.utils.Progbar(
        batches if batches > 0 else None,
        stateful_metrics=["discriminator_loss", "generator_loss"],
    )
    logs = {}
    for batch in images.as_numpy_iterator():
        count = len(batch)
        is_real, is_generated = np.ones((count, 1)), np.zeros((count, 1))
        logs["discriminator_loss"] = discriminator_step.train_on_batch(
            {"image": batch, "latent": draw_latent()},
            {"real": is_real, "generated": is_generated},
            return_dict=True,
        )["loss"]
        for _ in range(generator_updates):
            logs["generator_loss"] = generator_step.train_on_batch(
                draw_latent(), is_real, return_dict=True
            )["loss"]
        progress.add(1, logs.items())
        if not np.isfinite(list(logs.values())).all():
            break
    return {name: float(value) for name, value in logs.items()}
