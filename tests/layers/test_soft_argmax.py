"""Soft-argmax against plain NumPy in float64, with its gradients."""

import dataclasses
import random

import keras
import ml_dtypes
import numpy as np
import pytest
import ways_to_run
from keras import ops
from reference import numpy_affine_frame
from reference import numpy_range_frame

import keras_coordconv
from keras_coordconv import frames

run_gradients = {
    "tensorflow": ways_to_run.graph_gradients,
    "jax": ways_to_run.jit_gradients,
    "torch": ways_to_run.torch_gradients,
}[keras.backend.backend()]


@dataclasses.dataclass
class Setting:
    """A layer, what it is given, and what NumPy makes of it."""

    sizes: tuple
    channels: int
    arguments: dict
    frame: str | None
    count: int
    one_frame: bool
    is_masked: bool
    is_unknown: bool
    scale: float
    offset: float
    seed: int

    @classmethod
    def draw(cls, seed):
        draw = random.Random(seed)
        rank = draw.choice([1, 2, 3])
        largest = {1: 60, 2: 14, 3: 6}[rank]
        arguments = {"temperature": draw.choice([1.0, 0.1, 3.0])}

        def maybe(name, value):
            if draw.random() < 0.4:
                arguments[name] = value

        maybe("data_format", "channels_first")
        maybe("trainable_temperature", True)
        maybe("return_variance", True)
        maybe("return_map", True)
        maybe("dtype", draw.choice(["mixed_float16", "mixed_bfloat16"]))
        frame = draw.choice([None, None, "affine", "coordinates"])
        count = draw.randint(1, 3)
        if frame is None:
            maybe("axes", (rank - 1,))
            maybe("align", draw.choice(["edges", "period"]))
            maybe("coordinate_range", draw.choice(["pixel", (3.0, -1.5)]))
            count = len(arguments.get("axes", range(rank)))
        return cls(
            sizes=tuple(draw.randint(1, largest) for _ in range(rank)),
            channels=draw.randint(1, 3),
            arguments=arguments,
            frame=frame,
            count=count,
            one_frame=draw.random() < 0.5,
            is_masked=draw.random() < 0.4,
            is_unknown=draw.random() < 0.5,
            scale=draw.choice([1.0, 5.0, 1e4]),
            offset=draw.choice([0.0, 0.0, 1e4]),
            seed=seed,
        )

    def __post_init__(self):
        self.rank = len(self.sizes)
        self.is_first = "data_format" in self.arguments
        policy = self.arguments.get("dtype", "float32")
        self.dtype = policy.removeprefix("mixed_")
        self.random = np.random.default_rng(self.seed)
        exact = ml_dtypes.finfo(self.dtype).dtype
        shape = (2, *self.sizes, self.channels)
        logits = self.random.normal(size=shape) * self.scale + self.offset
        self.logits = logits.astype(exact).astype("float32")
        self.mask = self.random.random((2, *self.sizes)) < 0.7
        self.mask |= ~self.mask.any(
            axis=tuple(range(1, self.rank + 1)), keepdims=True
        )
        batch = 1 if self.one_frame else 2
        self.given = {
            None: None,
            "affine": (batch, self.count, self.rank + 1),
            "coordinates": (batch, *self.sizes, self.count),
        }[self.frame]
        if self.given:
            self.given = self.random.normal(size=self.given).astype("float32")

    def layer_and_inputs(self, name):
        """The layer, its symbolic outputs by name, its inputs by name."""
        layer = getattr(keras_coordconv, f"SoftArgmax{self.rank}D")(
            **self.arguments
        )
        sizes = [None] * self.rank if self.is_unknown else [*self.sizes]
        shape = [*sizes, self.channels]
        if self.is_first:
            shape = [self.channels, *sizes]
        symbolic = {name: keras.Input(shape, name=name)}
        inputs = {name: self.in_data_format(self.logits)}
        keywords = {}
        if self.frame:
            shape = self.given.shape[1:]
            if self.frame == "coordinates":
                shape = (*sizes, self.count)
            key = f"{name}_frame"
            symbolic[key] = keras.Input(shape, name=key)
            inputs[key] = self.given
            keywords[self.frame] = symbolic[key]
        if self.is_masked:
            key = f"{name}_mask"
            symbolic[key] = keras.Input(sizes, dtype="bool", name=key)
            inputs[key] = self.mask
            keywords["mask"] = symbolic[key]
        outputs = layer(symbolic[name], **keywords)
        outputs = keras.tree.flatten(outputs)
        return (
            layer,
            {f"{name}_{n}": o for n, o in enumerate(outputs)},
            symbolic,
            inputs,
        )

    def in_data_format(self, array):
        return np.moveaxis(array, -1, 1) if self.is_first else array

    def coordinates(self):
        """Of shape `(batch or 1, *sizes, d)`."""
        if self.frame == "coordinates":
            return self.given.astype("float64")
        if self.frame == "affine":
            affines = self.given
            return np.stack(
                [numpy_affine_frame(self.sizes, own)[0] for own in affines]
            )
        names = ("coordinate_range", "align", "axes")
        defaults = ((-1.0, 1.0), "centers", None)
        return numpy_range_frame(
            self.sizes, *map(self.arguments.get, names, defaults)
        )[0][None]

    def expected(self, output_gradients):
        """Outputs; gradients of logits, of the frame, of the temperature."""
        positions = tuple(range(1, self.rank + 1))
        temperature = self.arguments["temperature"]
        scaled = self.logits.astype("float64") / temperature
        if self.is_masked:
            scaled[~self.mask] = -np.inf
        scaled -= scaled.max(axis=positions, keepdims=True)
        weights = np.exp(scaled)
        weights /= weights.sum(axis=positions, keepdims=True)
        # Of shape (batch, *sizes, channels, d).
        coordinates = self.coordinates()[..., None, :]
        products = weights[..., None] * coordinates
        means = products.sum(axis=positions)
        offsets = coordinates - np.expand_dims(means, positions)
        variances = (weights[..., None] * offsets**2).sum(axis=positions)
        outputs = [means]
        if "return_variance" in self.arguments:
            outputs.append(variances)
        if "return_map" in self.arguments:
            outputs.append(self.in_data_format(weights))

        of_means, *others = output_gradients
        of_means = np.expand_dims(of_means, positions)
        of_weights = (of_means * coordinates).sum(axis=-1)
        of_coordinates = weights[..., None] * of_means
        if "return_variance" in self.arguments:
            of_variances = np.expand_dims(others.pop(0), positions)
            of_weights = of_weights + (of_variances * offsets**2).sum(axis=-1)
            of_coordinates = of_coordinates + (
                2 * weights[..., None] * of_variances * offsets
            )
        if "return_map" in self.arguments:
            (own,) = others
            of_weights += np.moveaxis(own, 1, -1) if self.is_first else own
        mean = (weights * of_weights).sum(axis=positions, keepdims=True)
        of_scaled = weights * (of_weights - mean)
        scaled[np.isinf(scaled)] = 0
        of_coordinates = of_coordinates.sum(axis=-2)
        if self.one_frame:
            of_coordinates = of_coordinates.sum(axis=0, keepdims=True)
        of_frame = of_coordinates
        if self.frame == "affine":
            indices = np.moveaxis(np.indices(self.sizes), 0, -1)
            indices = np.concatenate(
                [indices, np.ones((*self.sizes, 1))], axis=-1
            )
            of_frame = (of_coordinates[..., None] * indices[..., None, :]).sum(
                axis=positions
            )
        return (
            outputs,
            self.in_data_format(of_scaled / temperature),
            of_frame,
            -(of_scaled * scaled).sum(),
        )


def check(found, expected, setting, what, scale=1.0):
    dtype = keras.utils.standardize_dtype(found.dtype)
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    assert found.shape == np.shape(expected), (what, setting)
    error = {"float16": 1e-3, "bfloat16": 8e-3}.get(dtype, 1e-5)
    if what == "gradient of the inputs":
        # They were rounded, and so are the outputs' gradients.
        error = max(error, float(ml_dtypes.finfo(setting.dtype).eps))
    bound = error * (abs(np.asarray(expected)) + scale)
    assert (abs(found - expected) <= bound).all(), (
        f"{what} wrong by up to {abs(found - expected).max()} of "
        f"{abs(np.asarray(expected)).max()} in {setting}"
    )


@pytest.mark.parametrize(
    "count", [60, pytest.param(500, marks=pytest.mark.slow)]
)
def test_random_settings(count):
    """Outputs and gradients of several layers at once."""
    for first in range(0, count, 20):
        keras.utils.clear_session(free_memory=False)
        settings = {f"s{n}": Setting.draw(n) for n in range(first, first + 20)}
        layers, symbolic, outputs, inputs = {}, {}, {}, {}
        for name, setting in settings.items():
            layers[name], *parts = setting.layer_and_inputs(name)
            for whole, part in zip(
                (outputs, symbolic, inputs), parts, strict=True
            ):
                whole.update(part)
        model = keras.Model(symbolic, outputs)
        random = np.random.default_rng(first)
        gradients = {
            name: random.normal(
                size=[
                    size or own
                    for size, own in zip(
                        tensor.shape, shape_of(name, settings), strict=True
                    )
                ]
            )
            .astype(ml_dtypes.finfo(tensor.dtype).dtype)
            .astype("float32")
            for name, tensor in outputs.items()
        }
        found, by_input, by_weight = run_gradients(
            model, layers, inputs, gradients
        )
        for name, setting in settings.items():
            numbers = [n for n in outputs if n.startswith(f"{name}_")]
            values, of_inputs, of_frame, of_temperature = setting.expected(
                [gradients[n] for n in numbers]
            )
            scale = max(abs(setting.coordinates()).max(), 1.0)
            scales = {"0": scale, "1": scale**2}
            for n, value in zip(numbers, values, strict=True):
                what = f"output {n}"
                check(found[n], value, setting, what, scales.get(n[-1], 1e-2))
            scale = scale**2 / setting.arguments["temperature"]
            check(
                by_input[name],
                of_inputs,
                setting,
                "gradient of the inputs",
                10 * scale,
            )
            if setting.frame:
                check(
                    by_input[f"{name}_frame"],
                    of_frame,
                    setting,
                    "gradient of the frame",
                    100 * scale,
                )
            if "trainable_temperature" in setting.arguments:
                (own,) = by_weight[name]
                what = "gradient of the temperature"
                check(own, of_temperature, setting, what, 100 * scale)


def shape_of(name, settings):
    """The shape of an output, of which the graph may not know all."""
    setting = settings[name.split("_")[0]]
    number = int(name.split("_")[1])
    is_map = number == 1 + ("return_variance" in setting.arguments)
    if not is_map:
        return (2, setting.channels, setting.count)
    return setting.in_data_format(setting.logits).shape


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_position_of_a_blob(dtype):
    """Of a Gaussian of three pixels, far from the border, in pixels."""
    random = np.random.default_rng(0)
    layer = keras_coordconv.SoftArgmax2D(
        coordinate_range="pixel", dtype=dtype, return_variance=True
    )
    rows, columns = np.indices((120, 160))
    centers = random.uniform(30, 90, (8, 2)).astype("float32")
    logits = [
        -((rows - i) ** 2 + (columns - j) ** 2) / (2 * 3.0**2)
        for i, j in centers
    ]
    logits = np.stack(logits)[..., None].astype("float32")
    found, variance = map(ops.convert_to_numpy, layer(logits))
    tolerance = 0.01 if dtype == "float32" else 0.1  # The logits are rounded.
    np.testing.assert_allclose(found[:, 0], centers, atol=tolerance)
    np.testing.assert_allclose(variance[:, 0], 9.0, rtol=0.05)


def test_by_hand():
    layer = keras_coordconv.SoftArgmax1D(return_variance=True, return_map=True)
    logits = np.log([[[1.0], [2.0], [1.0]], [[3.0], [0.5], [0.5]]])
    means, variances, weights = map(ops.convert_to_numpy, layer(logits))
    np.testing.assert_allclose(means[:, 0, 0], [0, -0.625], atol=1e-6)
    np.testing.assert_allclose(variances[0, 0, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(weights[0, :, 0], [0.25, 0.5, 0.25], rtol=1e-6)
    mask = np.array([[True, True, False]])
    means = ops.convert_to_numpy(layer(logits, mask=mask)[0])
    np.testing.assert_allclose(means[:, 0, 0], [-1 / 3, -6 / 7], rtol=1e-5)


def test_where_nothing_counts_all_positions_count():
    layer = keras_coordconv.SoftArgmax1D()
    logits = np.array([[[1e4], [0.0], [-1e4]]], "float32")
    found = ops.convert_to_numpy(layer(logits, mask=np.zeros((1, 3), bool)))
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_the_way_back_from_the_coordinates_of_a_crop():
    """In the frame of the world, a blob has one position in every crop."""
    rows, columns = np.indices((40, 50))
    logits = -((rows - 21.3) ** 2 + (columns - 24.6) ** 2) / 4
    logits = logits[None, ..., None].astype("float32")
    layer = keras_coordconv.SoftArgmax2D()
    whole = frames.affine_from_range((40, 50))
    crop = ops.convert_to_numpy(frames.crop_affine(whole, (8, 10)))
    of_whole = layer(logits, affine=whole)
    of_crop = layer(logits[:, 8:36, 10:40], affine=crop)
    for found in (of_whole, of_crop, layer(logits)):
        expected = [[[21.3 / 39 * 2 - 1, 24.6 / 49 * 2 - 1]]]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_saved_and_loaded(tmp_path):
    layer = keras_coordconv.SoftArgmax2D(
        0.5,
        trainable_temperature=True,
        return_variance=True,
        coordinate_range=((0.0, 1.0), (2.0, 3.0)),
        align="edges",
    )
    image = keras.Input((5, 6, 2))
    model = keras.Model(image, layer(image))
    layer.set_weights([np.array(0.3)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 2))
    for one, other in zip(
        model.predict(x, verbose=0), loaded.predict(x, verbose=0), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "call_arguments", "message"),
    [
        ({"temperature": 0}, {}, "Received: temperature=0"),
        ({"temperature": float("inf")}, {}, "temperature=inf"),
        ({"data_format": "first"}, {}, "data_format='first'"),
        ({"coordinate_range": (1, 1)}, {}, "coordinate_range="),
        ({}, {"mask": np.ones((2, 4, 5, 1), bool)}, "shape (2, 4, 5, 1)"),
        ({}, {"mask": np.ones((2, 5, 4), bool)}, "Received: shape (2, 5, 4)"),
        ({}, {"mask": np.ones((3, 4, 5), bool)}, "for a batch of 2"),
        ({}, {"affine": np.zeros((2, 3))}, "affine of shape (2, 3)"),
    ],
)
def test_bad_arguments(arguments, call_arguments, message):
    with pytest.raises(ValueError) as error:
        keras_coordconv.SoftArgmax2D(**arguments)(
            np.zeros((2, 4, 5, 1)), **call_arguments
        )
    assert message in str(error.value)
    with pytest.raises((ValueError, TypeError)):
        keras_coordconv.SoftArgmax2D(use_radius=True)
