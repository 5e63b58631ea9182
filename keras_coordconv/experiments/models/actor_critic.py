"""Actor-critics: the nets of the paper's experiment with Atari games.

Models go from an `observation` to a dictionary: `policy`, the logits of the
actions, of shape `(batch, actions)`, and `value`, the return that is expected,
of shape `(batch, 1)`. Both are float32.
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
    """The Nature CNN with two heads, for images of bytes.

    Policy and value share three convolutions and a dense layer, those of Mnih
    et al. (2015); weights begin orthogonal. The paper says only that its agent
    has a CoordConv layer; here it takes the place of the first convolution.
    With 18 actions and four frames of 84x84 pixels, the net has 1,693,875
    parameters, and 1,697,971 with coordinates.

    The weights of the coordinates begin at zero, so that the net begins as the
    one without. Orthogonal ones are as large as those of the pixels, and the
    coordinates are larger numbers: the agent learns more slowly.

    Args:
        action_count: Integer, how many actions there are.
        observation_shape: Three integers, the shape of an observation of bytes,
            0 to 255. The channels are its last axis, or the first one where
            that is the shorter of the two, as in `(4, 84, 84)`.
        layer: String, `"coordconv"` or `"conv"`: the first convolution.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if observations are no images or too small ones, or if there
            is no such layer.

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
            "The observations of a convolution net must be images of at least "
            f"36x36 pixels. Received: observation_shape={observation_shape}"
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
    """Two small dense nets, for observations that are a few numbers.

    Policy and value have two layers of 64 units with tanh each.

    Args:
        action_count: Integer, how many actions there are.
        observation_shape: A tuple of one integer, how many numbers there are.
        name: String, the model's name.

    Returns:
        A Functional `keras.Model`.

    Raises:
        ValueError: if observations have another shape.
    """
    if len(observation_shape) != 1:
        raise ValueError(
            "The observations of a dense net must be vectors. "
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
    """What a server answers: probabilities of the actions, and the value.

    Args:
        outputs: What the model returns.

    Returns:
        Dictionary of `probabilities`, the likeliest `action` and `value`.
    """
    return {
        "probabilities": ops.softmax(outputs["policy"]),
        "action": ops.argmax(outputs["policy"], axis=-1),
        "value": ops.squeeze(outputs["value"], axis=-1),
    }
