"""Eight tasks: does a model need the position to solve them?

Each image has one square or one cross of 3 x 3 pixels on noise.
"""

import keras
import numpy as np
from keras import layers

import keras_coordconv

SIZE = 16
SHAPES = np.array(
    [[[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
)


def draw(count, seed):
    random = np.random.default_rng(seed)
    image = random.uniform(0, 0.3, (count, SIZE, SIZE, 1)).astype("float32")
    is_cross = random.integers(2, size=count)
    corner = random.integers(1, SIZE - 3, (count, 2))
    mask = np.zeros_like(image)
    for own, number, (i, j) in zip(mask, is_cross, corner, strict=True):
        own[i : i + 3, j : j + 3, 0] = SHAPES[number]
    affine = np.zeros((count, 2, 3), "float32")
    affine[:, [0, 1], [0, 1]] = 0.02
    affine[:, :, 2] = random.uniform(-1, 1, (count, 2))
    return {
        "image": image + mask,
        "is_cross": is_cross,
        "center": (corner - 7) / 6,
        "mask": mask,
        "affine": affine,
    }


def of_crosses(data):
    return data["mask"] * data["is_cross"][:, None, None, None]


def in_lower_half(data):
    return data["mask"] * (data["center"][:, :1, None, None] >= 0)


# Of each task: the kind of output, whether each example has a frame, whether
# the position is needed, and the targets.
TASKS = {
    "half": ("class", False, True, lambda d: (d["center"][:, 0] >= 0) * 1),
    "center": ("numbers", False, True, lambda d: d["center"]),
    "mask_in_lower_half": ("mask", False, True, in_lower_half),
    "shape_or_its_opposite_in_the_south": (
        *("class", True, True),
        lambda d: d["is_cross"] ^ (d["affine"][:, 0, 2] > 0),
    ),
    "shape": ("class", False, False, lambda d: d["is_cross"]),
    "mask_of_crosses": ("mask", False, False, of_crosses),
    "shape_as_numbers": (
        *("numbers", False, False),
        lambda d: np.eye(2)[d["is_cross"]],
    ),
    "shape_with_a_frame": ("class", True, False, lambda d: d["is_cross"]),
}


def build_model(output, has_frame, first=keras_coordconv.CoordConv2D):
    image = keras.Input((SIZE, SIZE, 1), name="image")
    affine = keras.Input((2, 3), name="affine")
    same = {"padding": "same", "activation": "relu"}
    frame = {"affine": affine} if has_frame else {}
    x = first(16, 3, **same)(image, **frame)
    x = layers.Conv2D(16, 3, **same)(x)
    if output == "mask":
        x = layers.Conv2D(1, 1, activation="sigmoid")(x)
    else:
        x = layers.Conv2D(32, 1, **same)(x)
        x = layers.GlobalMaxPooling2D()(x)
        x = layers.Dense(32, activation="relu")(x)
        activation = "softmax" if output == "class" else None
        x = layers.Dense(2, activation=activation)(x)
    model = keras.Model([image, affine] if has_frame else image, x)
    loss, metrics = {
        "class": ("sparse_categorical_crossentropy", ["accuracy"]),
        "numbers": ("mse", []),
        "mask": ("binary_crossentropy", [keras.metrics.BinaryIoU([1])]),
    }[output]
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=metrics)
    return model


def inputs_of(data, has_frame):
    return [data["image"], data["affine"]] if has_frame else data["image"]
