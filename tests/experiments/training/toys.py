"""Small trainings of each kind, for the tests of runs that are killed.

    python toys.py supervised --workdir run

`supervised` uses `fit`, `gan` trains two models in turn, `a2c` an actor-critic
beside a model that is not compiled. All of them draw random numbers.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras import ops

from keras_coordconv.experiments.datasets import epochs
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

EPOCHS = 6
RECIPES = {"--layer any": {"epochs": EPOCHS}}


def parse(argv):
    parser = flags.build_parser(__doc__)
    parser.add_argument("--layer", default="any")
    parser.add_argument("--epochs", type=int)
    return recipes.parse(parser, RECIPES, argv)


def dense_model(sizes, name, dropout=0.0):
    inputs = keras.Input((sizes[0],))
    x = inputs
    for size in sizes[1:-1]:
        x = layers.Dense(size, activation="tanh")(x)
        x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(sizes[-1])(x), name=name)


def points(numbers):
    """Points on a circle: numbers of examples to `(batch, 2)`."""
    angle = ops.cast(numbers, "float32")
    return ops.stack([ops.cos(angle), ops.sin(angle)], axis=-1)


@command
def supervised(argv=None):
    args = parse(argv)
    with Run("supervised", args) as run:
        train, test = (
            numbers.batch(4).map(lambda n: (points(n), points(n + 1)))
            for numbers in (
                epochs.shuffled_numbers(24, args.seed, run.epochs_done),
                tf.data.Dataset.range(24, 32),
            )
        )
        model = dense_model([2, 32, 32, 2], "model", dropout=0.2)
        model.compile("adam", "mse", steps_per_execution=2)
        run.fit(model, train, args.epochs, validation_data=test)
        return run.finish(run.evaluate(run.trained_model(), test=test))


class Frozen(layers.Layer):
    """Another model's outputs, without training it."""

    def __init__(self, model):
        super().__init__()
        # In a list of a function, so that Keras does not track it.
        self._get_model = lambda: model

    def call(self, x):
        model = self._get_model()
        outputs, _ = model.stateless_call(
            [ops.stop_gradient(v) for v in model.trainable_variables],
            [ops.stop_gradient(v) for v in model.non_trainable_variables],
            x,
        )
        return outputs


@command
def gan(argv=None):
    args = parse(argv)
    with Run("gan", args) as run:
        generator = dense_model([4, 16, 2], "generator")
        discriminator = dense_model([2, 16, 1], "discriminator", dropout=0.2)
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        discriminator.compile(keras.optimizers.Adam(0.01), loss)
        latent = keras.Input((4,))
        combined = keras.Model(latent, Frozen(discriminator)(generator(latent)))
        combined.compile(keras.optimizers.Adam(0.01), loss)
        run.track(generator, combined=combined, discriminator=discriminator)
        real = epochs.shuffled_numbers(24, args.seed, run.epochs_done).batch(8)
        for _ in run.epochs(args.epochs):
            logs = {}
            for numbers in real:
                latents = np.random.normal(size=(8, 4)).astype("float32")
                images = np.concatenate([points(numbers), generator(latents)])
                truth = np.repeat([[1.0], [0.0]], 8, axis=0)
                logs["discriminator"] = discriminator.train_on_batch(
                    images, truth
                )
                logs["generator"] = combined.train_on_batch(latents, truth[:8])
            run.end_epoch(logs)
        return run.finish({})


@keras.saving.register_keras_serializable(package="toys")
def policy_loss(chosen, logits):
    """The loss of a policy; `chosen` are one-hot actions times advantages."""
    return -ops.sum(chosen * ops.log_softmax(logits), axis=-1)


@command
def a2c(argv=None):
    """A walk on six places: reward 1 at the right end."""
    args = parse(argv)
    with Run("a2c", args) as run:
        place = keras.Input((6,))
        x = layers.Dense(16, activation="tanh")(place)
        outputs = {
            "logits": layers.Dense(2, name="logits")(x),
            "value": layers.Dense(1, name="value")(x),
        }
        actor_critic = keras.Model(place, outputs)

        actor_critic.compile(
            keras.optimizers.RMSprop(0.02),
            {"logits": policy_loss, "value": "mse"},
        )
        averaged = keras.models.clone_model(actor_critic)
        run.track(actor_critic, averaged=averaged)
        for _ in run.epochs(args.epochs):
            places, actions, rewards = [], [], []
            position = np.random.randint(5)
            for _ in range(16):
                state = np.eye(6, dtype="float32")[[position]]
                logits = ops.convert_to_numpy(actor_critic(state)["logits"])[0]
                right = np.random.rand() < 1 / (
                    1 + np.exp(logits[0] - logits[1])
                )
                places.append(state[0])
                actions.append(int(right))
                position = max(position + (1 if right else -1), 0)
                rewards.append(float(position == 5))
                position %= 5
            returns = (
                np.cumsum(rewards[::-1])[::-1, None].astype("float32") / 16
            )
            values = ops.convert_to_numpy(
                actor_critic(np.array(places))["value"]
            )
            chosen = np.eye(2, dtype="float32")[actions] * (returns - values)
            losses = actor_critic.train_on_batch(
                np.array(places), {"logits": chosen, "value": returns}
            )
            averaged.set_weights(
                [
                    0.9 * old + 0.1 * new
                    for old, new in zip(
                        averaged.get_weights(),
                        actor_critic.get_weights(),
                        strict=True,
                    )
                ]
            )
            run.end_epoch({"loss": losses[0], "reward": np.mean(rewards)})
        return run.finish({"reward": max(r["reward"] for r in run.history)})


KINDS = {"supervised": supervised, "gan": gan, "a2c": a2c}

if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2:])
