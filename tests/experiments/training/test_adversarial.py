"""The order of the steps, and what each of them is given."""

import numpy as np
import pytest
import tensorflow as tf

from keras_coordconv.experiments.training import adversarial

pytestmark = pytest.mark.tensorflow_backend


class Trainer:
    """Keeps what it is given; its losses are the means of those in a list."""

    input_shape = (None, 3)

    def __init__(self, name, steps, losses):
        self.name, self.steps, self.losses = name, steps, losses

    def reset_metrics(self):
        self.seen = []

    def train_on_batch(self, inputs, targets, return_dict):
        assert return_dict
        self.steps.append((self.name, inputs, targets))
        self.seen.append(self.losses[len(self.seen)])
        return {"loss": np.mean(self.seen), "other": 0.0}


def train(discriminator_losses, generator_losses, **settings):
    steps = []
    logs = adversarial.train_epoch(
        Trainer("discriminator", steps, discriminator_losses),
        Trainer("generator", steps, generator_losses),
        tf.data.Dataset.from_tensor_slices(tf.range(5.0)).batch(2),
        np.random.default_rng(7),
        **settings,
    )
    return steps, logs


def test_one_step_and_two():
    steps, logs = train([1.0, 2.0, 6.0], [1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert logs == {"discriminator_loss": 3.0, "generator_loss": 2.0}
    names = [name for name, *_ in steps]
    assert names == ["discriminator", "generator", "generator"] * 3
    latents = []
    for name, inputs, targets in steps:
        if name == "discriminator":
            batch, latent = inputs["image"], inputs["latent"]
            assert targets["real"].tolist() == [[1.0]] * len(batch)
            assert targets["generated"].tolist() == [[0.0]] * len(batch)
        else:
            latent = inputs
            assert targets.tolist() == [[1.0]] * len(batch)
        assert latent.shape == (len(batch), 3)
        latents.append(latent)
    # All drawn one after the other.
    expected = np.random.default_rng(7).uniform(-1, 1, (3 * 5, 3))
    np.testing.assert_allclose(np.concatenate(latents), expected, rtol=1e-6)
    images = [step[1]["image"] for step in steps[::3]]
    assert np.concatenate(images).tolist() == [0, 1, 2, 3, 4]


def test_number_of_steps_of_the_generator():
    steps, _ = train([1.0] * 3, [1.0] * 3, generator_updates=1)
    assert [name for name, *_ in steps] == ["discriminator", "generator"] * 3


@pytest.mark.parametrize("which", [0, 1])
def test_ends_when_it_diverges(which):
    losses = [[1.0] * 3, [1.0] * 6]
    losses[which][1] = np.nan
    steps, logs = train(*losses)
    assert len(steps) == 3 * (2 - which)
    assert np.isnan(logs[("discriminator_loss", "generator_loss")[which]])
