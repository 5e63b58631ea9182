"""Layers that run side by side, and the comparison with plain NumPy."""

import zlib

import keras
import ml_dtypes
import numpy as np
from keras import ops

import keras_coordconv


class Case:
    """A layer for one setting, what it is given, what it should give."""

    def __init__(self, name, setting, batch):
        self.setting = setting
        self.reference = setting.reference()
        self.random = np.random.default_rng(zlib.crc32(repr(setting).encode()))
        shape = (batch, *setting.shape)
        if setting.input_dtype == "float32":
            self.inputs = self.exact_normal(shape)
        else:
            self.inputs = self.random.integers(
                0, 9, shape, dtype=setting.input_dtype
            )
        self.weights = [
            self.exact_normal(shape) for shape in self.reference.weight_shapes()
        ]
        symbolic_inputs = keras.Input(
            setting.symbolic_shape, dtype=setting.input_dtype, name=name
        )
        self.named_inputs = {name: self.inputs}
        self.symbolic_inputs = {name: symbolic_inputs}
        self.frame, symbolic_frame = {}, {}
        if setting.frame:
            shape = (setting.count, setting.rank + 1)
            known_shape = shape
            if setting.frame == "coordinates":
                sizes, symbolic_sizes = (
                    shape[1:] if setting.channels_first else shape[:-1]
                    for shape in (setting.shape, setting.symbolic_shape)
                )
                shape = (*sizes, setting.count)
                known_shape = (*symbolic_sizes, setting.count)
            frames = self.random.normal(
                size=(1 if setting.one_frame else batch, *shape)
            ).astype("float32")
            self.frame[setting.frame] = frames
            symbolic = keras.Input(known_shape, name=f"{name}_frame")
            symbolic_frame[setting.frame] = symbolic
            self.named_inputs[f"{name}_frame"] = frames
            self.symbolic_inputs[f"{name}_frame"] = symbolic
        self.layer = getattr(keras_coordconv, setting.layer)(
            **setting.layer_arguments()
        )
        self.symbolic_outputs = self.layer(symbolic_inputs, **symbolic_frame)
        assert [
            tuple(weight.shape) for weight in self.layer.weights
        ] == self.reference.weight_shapes()
        self.layer.set_weights(self.weights)
        self.outputs = self.reference.outputs(
            self.inputs, self.weights, **self.frame
        )
        self.failures = []

    def exact_normal(self, shape):
        """Normal random numbers that the layer's dtype represents exactly."""
        dtype = ml_dtypes.finfo(self.reference.dtype).dtype
        return self.random.normal(size=shape).astype(dtype).astype("float32")

    def compare(self, what, result, expected):
        """Notes a failure if a result is not within its bound."""
        dtype = keras.utils.standardize_dtype(result.dtype)
        result = ops.convert_to_numpy(ops.cast(result, "float32"))
        if dtype != expected.dtype:
            self.failures.append(f"{what} {dtype} instead of {expected.dtype}")
        if result.shape != expected.value.shape:
            self.failures.append(
                f"{what} of shape {result.shape} instead of "
                f"{expected.value.shape}"
            )
            return
        errors = abs(result - expected.value)
        wrong = ~(errors <= expected.bound)
        if wrong.any():
            self.failures.append(
                f"{what} wrong at {wrong.sum()} of {wrong.size} places, by up "
                f"to {errors.max():.2g} of {abs(expected.value).max():.2g} "
                f"where {expected.bound.max():.2g} would be rounding"
            )


class Group:
    """Several layers as one model, which runs them side by side."""

    def __init__(self, batch, settings):
        self.cases = {
            f"layer_{index}": Case(f"layer_{index}", setting, batch)
            for index, setting in enumerate(settings)
        }
        self.inputs, symbolic_inputs = {}, {}
        for case in self.cases.values():
            self.inputs |= case.named_inputs
            symbolic_inputs |= case.symbolic_inputs
        self.model = keras.Model(
            symbolic_inputs,
            {name: case.symbolic_outputs for name, case in self.cases.items()},
        )

    def check_outputs(self, run, model=None):
        """Compares what a way of running gives with what NumPy gives."""
        outputs = run(model or self.model, self.inputs)
        assert set(outputs) == set(self.cases)
        for name, case in self.cases.items():
            case.compare("outputs", outputs[name], case.outputs)
        self.raise_failures(run)

    def check_gradients(self, run):
        """The same for a way of taking the gradients."""
        output_gradients = {
            name: case.exact_normal(case.outputs.value.shape)
            for name, case in self.cases.items()
        }
        outputs, by_input, by_weight = run(
            self.model,
            {name: case.layer for name, case in self.cases.items()},
            self.inputs,
            output_gradients,
        )
        for name, case in self.cases.items():
            expected, of_frame, of_weights = case.reference.gradients(
                case.inputs,
                case.weights,
                output_gradients[name],
                **case.frame,
            )
            case.compare("outputs", outputs[name], case.outputs)
            if name in by_input:
                case.compare("gradient of the inputs", by_input[name], expected)
            if of_frame is not None:
                found = by_input[f"{name}_frame"]
                case.compare("gradient of the frame", found, of_frame)
            for weight, gradient, expected in zip(
                case.layer.weights,
                by_weight[name],
                of_weights,
                strict=True,
            ):
                case.compare(
                    f"gradient of the {weight.name}", gradient, expected
                )
        self.raise_failures(run)

    def raise_failures(self, run):
        failures = [
            f"{run.__name__}: {failure}, batch {len(case.inputs)} of\n"
            f"    {case.setting},"
            for case in self.cases.values()
            for failure in case.failures
        ]
        assert not failures, "\n".join(["", *failures])
