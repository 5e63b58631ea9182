"""Actor-critics for the paper's experiment with Atari games.

The models map an `observation` to a dictionary: `policy`, the logits of the
actions, of shape `(batch, actions)`, and `value`, the expected return, of shape
`(batch, 1)`. Both are float32.
"""

import math

import keras
from keras import initializers
from keras import layers
from keras import ops

from keras_coordconv.conversion import convert_to_coordconv

LAYERS = ("coordconv", "conv")


def image_actor_critic(
    action_count,
    observation_shape=(84, 84, 4),
    layer="coordconv",
    name="image_actor_critic",
):
    """Nature CNN with a policy and a value head, for uint8 images.

    The heads share three convolutions and a dense layer, those of Mnih et al.
    (2015), with orthogonal initialization. The paper only states that its agent
    has a CoordConv layer; here it replaces the first convolution. With 18
    actions and four frames of 84x84 pixels, the model has 1,693,875 parameters,
    and 1,697,971 with coordinates.

    The weights of the coordinates start at zero, so the initial outputs are
    those of the plain convolution. With orthogonal initialization they would
    be as large as those of the pixels; since coordinates are larger than
    pixels, the agent then learns more slowly.

    Args:
        action_count: Integer, number of actions.
        observation_shape: Three integers, the shape of a uint8 observation.
            The channels are the last axis, or the first one if it is shorter
            than the last, as in `(4, 84, 84)`.
        layer: String, type of the first convolution: `"coordconv"` or
            `"conv"`.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if the observations are not images or too small, or if
            `layer` is unknown.

    Example:

    >>> model = image_actor_critic(18, observation_shape=(4, 84, 84))
    >>> model.predict_on_batch(np.zeros((2, 4, 84, 84), "uint8")).keys()
    dict_keys(['policy', 'value'])
    """
    if layer not in LAYERS:
        raise ValueError(
            f"`layer` must be one of {', '.join(LAYERS)}. "
            f"Received: layer={layer!r}"
        )
    if len(observation_shape) != 3 or sorted(observation_shape)[1] < 36:
        raise ValueError(
            "The observations of a convolutional model must be images of at "
            "least 36x36 pixels. "
            f"Received: observation_shape={observation_shape}"
        )
    observation = keras.Input(
        observation_shape, dtype="uint8", name="observation"
    )
    x = observation
    if observation_shape[0] < observation_shape[-1]:
        x = layers.Permute((2, 3, 1), name="channels_last")(x)
    x = layers.Rescaling(1 / 255, name="rescale")(x)
    for index, (filters, size, strides) in enumerate(
        ((32, 8, 4), (64, 4, 2), (64, 3, 1)), start=1
    ):
        x = layers.Conv2D(
            filters,
            size,
            strides=strides,
            activation="relu",
            kernel_initializer=initializers.Orthogonal(math.sqrt(2)),
            name=f"conv{index}",
        )(x)
    x = layers.Flatten(name="flatten")(x)
    x = _dense(x, 512, math.sqrt(2), "dense", activation="relu")
    model = keras.Model(
        observation,
        {
            "policy": _dense(x, action_count, 0.01, "policy", dtype="float32"),
            "value": _dense(x, 1, 1.0, "value", dtype="float32"),
        },
        name=name,
    )
    return convert_to_coordconv(model) if layer == "coordconv" else model


def vector_actor_critic(
    action_count, observation_shape, name="vector_actor_critic"
):
    """Dense actor-critic for vector observations.

    Policy and value have two hidden layers each, of 64 units with tanh.

    Args:
        action_count: Integer, number of actions.
        observation_shape: Tuple of one integer, the length of an observation.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if the observations are not vectors.
    """
    if len(observation_shape) != 1:
        raise ValueError(
            "The observations of a dense model must be vectors. "
            f"Received: observation_shape={observation_shape}"
        )
    observation = keras.Input(observation_shape, name="observation")
    outputs = {}
    for output, size, gain in (
        ("policy", action_count, 0.01),
        ("value", 1, 1.0),
    ):
        x = observation
        for index in (1, 2):
            x = _dense(
                x, 64, math.sqrt(2), f"{output}_dense{index}", activation="tanh"
            )
        outputs[output] = _dense(x, size, gain, output, dtype="float32")
    return keras.Model(observation, outputs, name=name)


def _dense(x, units, gain, name, **arguments):
    return layers.Dense(
        units,
        kernel_initializer=initializers.Orthogonal(gain),
        name=name,
        **arguments,
    )(x)


def serving_outputs(outputs):
    """Converts the model's outputs to those of the served model.

    Args:
        outputs: Dictionary of `policy` and `value`, the model's outputs.

    Returns:
        Dictionary of the `probabilities` of the actions, the most likely
        `action`, and `value`.
    """
    return {
        "probabilities": ops.softmax(outputs["policy"]),
        "action": ops.argmax(outputs["policy"], axis=-1),
        "value": ops.squeeze(outputs["value"], axis=-1),
    }
