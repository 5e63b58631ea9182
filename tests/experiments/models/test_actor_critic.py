import keras
import numpy as np
import pytest

from keras_coordconv.experiments.models import actor_critic

RANDOM = np.random.default_rng(0)


def random_images(*shape):
    return RANDOM.integers(0, 256, shape).astype("uint8")


@pytest.mark.parametrize(
    ("layer", "actions", "parameters"),
    [
        # Kernels of 8x8, 4x4 and 3x3; 7x7 positions of 64 to 512; two heads.
        ("conv", 18, 8224 + 32_832 + 36_928 + 1_606_144 + 18 * 513 + 513),
        # Plus 32 filters of 8x8 for each of two coordinates.
        ("coordconv", 18, 1_693_875 + 2 * 8 * 8 * 32),
        ("coordconv", 6, 1_697_971 - 12 * 513),
    ],
)
def test_parameters(layer, actions, parameters):
    model = actor_critic.image_actor_critic(actions, layer=layer)
    assert model.count_params() == parameters
    answers = model.predict_on_batch(random_images(2, 84, 84, 4))
    assert answers["policy"].shape == (2, actions)
    assert answers["value"].shape == (2, 1)


@pytest.mark.parametrize("layer", actor_critic.LAYERS)
def test_channels_first_observations(layer):
    last = actor_critic.image_actor_critic(6, (84, 84, 4), layer)
    first = actor_critic.image_actor_critic(6, (4, 84, 84), layer)
    first.set_weights(last.get_weights())
    images = random_images(2, 84, 84, 4)
    expected = last.predict_on_batch(images)
    found = first.predict_on_batch(np.moveaxis(images, -1, 1))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_only_coordconv_depends_on_position():
    """For a pattern shifted by 8 pixels, the product of all strides."""
    image = np.zeros((1, 84, 84, 4), "uint8")
    moved = image.copy()
    pattern = random_images(4, 4, 4)
    image[0, 32:36, 32:36] = moved[0, 40:44, 32:36] = pattern
    for layer, differ in (("conv", False), ("coordconv", True)):
        model = actor_critic.image_actor_critic(6, layer=layer)
        model.set_weights([w + 0.01 for w in model.get_weights()])
        features = keras.Model(model.input, model.get_layer("conv3").output)
        here, there = features.predict_on_batch(np.concatenate([image, moved]))
        assert (abs(here[:-1] - there[1:]).max() > 1e-4) == differ


def test_coordconv_starts_as_the_convolution():
    images = random_images(3, 84, 84, 4)
    answers = {}
    for layer in actor_critic.LAYERS:
        keras.utils.set_random_seed(5)
        model = actor_critic.image_actor_critic(6, layer=layer, name="agent")
        assert model.name == "agent"
        answers[layer] = model.predict_on_batch(images)
    for name, values in answers["conv"].items():
        np.testing.assert_allclose(
            answers["coordconv"][name], values, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("layer", actor_critic.LAYERS)
def test_initial_weights_are_orthogonal(layer):
    model = actor_critic.image_actor_critic(6, layer=layer)
    for name, gain in (("conv1", 2), ("conv2", 2), ("dense", 2), ("value", 1)):
        kernel, bias = model.get_layer(name).get_weights()
        kernel = kernel.reshape(-1, kernel.shape[-1])
        product = kernel.T @ kernel
        np.testing.assert_allclose(
            product, gain * np.eye(len(product)), atol=1e-4
        )
        assert not bias.any()
    # An untrained policy takes all actions with about the same probability.
    logits = model.predict_on_batch(random_images(4, 84, 84, 4))["policy"]
    assert abs(logits).max() < 0.1


def test_outputs_are_float32_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = actor_critic.image_actor_critic(6)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    for output in model.outputs:
        assert output.dtype == "float32"


def test_vector_actor_critic():
    model = actor_critic.vector_actor_critic(2, (4,))
    # Two trunks of 4 to 64 to 64, and the heads.
    assert model.count_params() == 2 * (5 * 64 + 65 * 64) + 65 * 2 + 65
    answers = model.predict_on_batch(np.ones((3, 4), "float32"))
    assert answers["policy"].shape == (3, 2)
    assert answers["value"].shape == (3, 1)


def test_serving_outputs():
    outputs = {
        "policy": np.log([[0.1, 0.7, 0.2]]),
        "value": np.array([[3.0]]),
    }
    answers = actor_critic.serving_outputs(outputs)
    np.testing.assert_allclose(answers["probabilities"], [[0.1, 0.7, 0.2]])
    assert np.array(answers["action"]).tolist() == [1]
    assert np.array(answers["value"]).tolist() == [3.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "dense"}, "Received: layer='dense'"),
        ({"observation_shape": (4,)}, r"Received: observation_shape=\(4,\)"),
        ({"observation_shape": (4, 84, 35)}, "at least 36x36 pixels"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        actor_critic.image_actor_critic(6, **arguments)
    with pytest.raises(ValueError, match="must be vectors"):
        actor_critic.vector_actor_critic(6, (84, 84, 4))
