"""Every layer in plain NumPy, in float64: outputs, gradients, error bounds.

The bound on the rounding errors of a result is the number of roundings that it
goes through, times the unit roundoff, times the sum of the absolute values of
its terms. Backends add the terms in float32, also where the layer's dtype is
half as wide, and round the sum to that dtype.
"""

import dataclasses
import math
import re

import ml_dtypes
import numpy as np
from numpy_convolution import convolve
from numpy_convolution import gradients
from numpy_convolution import taps
from numpy_convolution import transposed_taps
from reference import numpy_affine_frame
from reference import numpy_features
from reference import numpy_range_frame
from reference import numpy_slopes

# Roundings to the layer's dtype that a result can go through: of a coordinate,
# of what leaves each of two convolutions, of the coordinates' part with its
# bias, of the sum of both parts, of the activation.
OTHER_ROUNDINGS = 8
# Roundings to float32 of a coordinate that is computed.
COORDINATE_ROUNDINGS = 12

# The activation, its derivative as a function of what goes into the activation
# and of what comes out, and the steepest slope of the derivative.
ACTIVATIONS = {
    None: (lambda z: z, lambda z, y: np.ones_like(z), 0.0),
    "relu": (lambda z: np.maximum(z, 0), lambda z, y: z > 0, np.inf),
    "tanh": (np.tanh, lambda z, y: 1 - y**2, 0.77),
}


def unit_roundoff(dtype):
    return float(ml_dtypes.finfo(dtype).eps) / 2


def smallest(dtype):
    """Near 0, numbers are not relatively precise."""
    return float(ml_dtypes.finfo(dtype).smallest_subnormal)


@dataclasses.dataclass
class Bounded:
    """A result, and how far from it a computation may be that rounds."""

    value: np.ndarray
    bound: np.ndarray
    dtype: str


class NumpyLayer:
    """A layer of the package, for one setting.

    Args:
        layer: Name of its class.
        arguments: Dictionary of its arguments.
        shape: Tuple, shape of an input without the batch.
        count: Integer, the number of coordinates. Defaults to those of the
            layer's own frame.
    """

    def __init__(self, layer, arguments, shape, count=None):
        self.family = re.sub(r"\dD", "", layer)
        self.arguments = arguments
        self.channels_first = arguments.get("data_format") == "channels_first"
        if self.channels_first:
            shape = (*shape[1:], shape[0])
        *self.sizes, self.channels = shape
        self.rank = len(self.sizes)
        if count is None:
            count = len(arguments.get("axes") or self.sizes)
        features, _ = self._features(np.zeros((1, count)), np.zeros(count), 0.0)
        self.widened = features.shape[-1]
        self.groups = arguments.get("groups", 1)
        self.filters = arguments.get("filters")
        self.multiplier = arguments.get("depth_multiplier", 1)
        self.activation = ACTIVATIONS[arguments.get("activation")]
        policy = arguments.get("dtype", "float32")
        self.dtype = policy.removeprefix("mixed_")
        self.weight_dtype = "float32" if "mixed" in policy else policy
        self.use_bias = "Conv" in self.family and arguments.get(
            "use_bias", True
        )
        self.axes = self._axes() if "Conv" in self.family else []

    def _axes(self):
        def per_axis(name, default):
            value = self.arguments.get(name, default)
            return value if isinstance(value, tuple) else (value,) * self.rank

        self.kernel_size = per_axis("kernel_size", None)
        arguments = [
            self.sizes,
            self.kernel_size,
            per_axis("strides", 1),
            per_axis("dilation_rate", 1),
            per_axis("padding", "valid"),
        ]
        if self.family == "CoordConvTranspose":
            arguments.append(per_axis("output_padding", None))
            return [*map(transposed_taps, *arguments)]
        return [*map(taps, *arguments)]

    def weight_shapes(self):
        """Shapes of the weights, in the order of the Keras layer's."""
        if "Conv" not in self.family:
            return []
        channels = self.channels // self.groups + self.widened
        filters = self.filters
        if self.family == "CoordConvTranspose":
            shapes = [(*self.kernel_size, filters, channels)]
        elif self.family == "CoordConv":
            shapes = [(*self.kernel_size, channels, filters)]
        else:
            shapes = [(*self.kernel_size, channels, self.multiplier)]
        if self.family == "CoordSeparableConv":
            ones = (1,) * self.rank
            shapes.append((*ones, channels * self.multiplier, filters))
        elif self.family == "CoordDepthwiseConv":
            filters = channels * self.multiplier
        if self.use_bias:
            shapes.append((filters,))
        return shapes

    def _to_stages(self, weights):
        """Kernels of the convolutions that follow each other, with taps."""
        if not weights:
            return []
        first = weights[0]
        if self.family == "CoordConv":
            first = first.reshape(*first.shape[:-1], self.groups, -1)
        elif self.family == "CoordConvTranspose":
            first = np.moveaxis(first, -1, -2)[..., None, :]
        else:
            first = first[..., None, :, :]
        stages = [(first, self.axes)]
        if self.family == "CoordSeparableConv":
            identities = [taps(len(axis), 1) for axis in self.axes]
            stages.append((weights[1][..., None, :], identities))
        return stages

    def _from_stages(self, kernels):
        """The way back, for the gradients of the weights."""
        if self.family == "CoordConvTranspose":
            kernels = [np.moveaxis(kernels[0][..., 0, :], -1, -2)]
        return [
            kernel.reshape(shape)
            for kernel, shape in zip(
                kernels, self.weight_shapes(), strict=False
            )
        ]

    def _widen(self, inputs, coordinates):
        """Appends the coordinates: `(batch, *sizes, groups, channels)`."""
        inputs = inputs.reshape(*inputs.shape[:-1], self.groups, -1)
        coordinates = np.broadcast_to(
            coordinates[..., None, :], (*inputs.shape[:-1], self.widened)
        )
        inputs = np.concatenate([inputs, coordinates], axis=-1)
        return np.swapaxes(inputs, -1, -2) if self._is_depthwise else inputs

    @property
    def _is_depthwise(self):
        return self.family in ("CoordDepthwiseConv", "CoordSeparableConv")

    def _forward(self, inputs, coordinates, weights):
        """What enters each convolution, and what leaves the last one."""
        values = [self._widen(inputs, coordinates)]
        for kernel, axes in self._to_stages(weights):
            result = convolve(values[-1], kernel, axes)
            # The groups of one convolution are no groups to the next one.
            values.append(result.reshape(*result.shape[:-2], 1, -1))
        result = values[-1].reshape(*values[-1].shape[:-2], -1)
        return values, result + weights[-1] if self.use_bias else result

    def _backward(self, values, weights, gradient):
        """Gradients of the inputs, of the features and of the weights."""
        bias = [gradient.reshape(-1, gradient.shape[-1]).sum(axis=0)]
        kernels = []
        stages = self._to_stages(weights)
        for (kernel, axes), value in zip(
            reversed(stages), reversed(values[:-1]), strict=True
        ):
            gradient = gradient.reshape(
                *gradient.shape[: self.rank + 1], *kernel.shape[-2:]
            )
            gradient, by_kernel = gradients(value, kernel, axes, gradient)
            kernels.append(by_kernel)
        if self._is_depthwise:
            gradient = np.swapaxes(gradient, -1, -2)
        gradient = gradient.reshape(
            *gradient.shape[: self.rank + 1], self.groups, -1
        )
        inputs, features = np.split(gradient, [-self.widened], axis=-1)
        inputs = inputs.reshape(*inputs.shape[:-2], -1)
        kernels = self._from_stages(kernels[::-1])
        bias = bias if self.use_bias else []
        return inputs, features.sum(axis=-2), [*kernels, *bias]

    def _features(self, coordinates, middle, scale):
        return numpy_features(coordinates, scale, *self._encoding(middle))

    def _encoding(self, middle):
        center = self.arguments.get("radius_center")
        return (
            self.arguments.get("use_radius", False),
            middle if center is None else center,
            self.arguments.get("encoding"),
        )

    def _coordinates(self, affine, coordinates):
        """Coordinates, middle and scale of each example; of one, for all."""
        if coordinates is not None:
            maps = coordinates.astype("float64")
            return [(own, None, abs(own)) for own in maps]
        if affine is None:
            return [
                numpy_range_frame(
                    tuple(self.sizes),
                    self.arguments.get("coordinate_range", (-1.0, 1.0)),
                    self.arguments.get("align", "centers"),
                    self.arguments.get("axes"),
                )
            ]
        return [numpy_affine_frame(self.sizes, own) for own in affine]

    def _exact_and_scale(self, inputs, weights, frame):
        """What `_forward` gives, and what it gives for absolute values."""
        features, scales = map(
            np.stack,
            zip(
                *[self._features(*own) for own in self._coordinates(**frame)],
                strict=True,
            ),
        )
        exact = self._forward(inputs, features, weights)
        scale = self._forward(abs(inputs), scales, [*map(abs, weights)])
        return exact, scale

    def _terms(self, weights):
        """How many terms the sum of one output has."""
        return sum(
            math.prod(kernel.shape[:-2])
            for kernel, _ in self._to_stages(weights)
        )

    def _relative_error(self, terms):
        return OTHER_ROUNDINGS * unit_roundoff(self.dtype) + (
            COORDINATE_ROUNDINGS + terms
        ) * unit_roundoff("float32")

    def outputs(self, inputs, weights, affine=None, coordinates=None):
        """Outputs of the layer.

        Args:
            inputs: Array, exact in the layer's dtype.
            weights: List of arrays, exact in the layer's dtype.
            affine, coordinates: Arrays, the frame of the call, or `None`.

        Returns:
            `Bounded`.
        """
        (_, result), (_, scale) = self._exact_and_scale(
            self._to_channels_last(inputs),
            weights,
            {"affine": affine, "coordinates": coordinates},
        )
        activation, _, _ = self.activation
        # No activation here is steeper than 1.
        return Bounded(
            self._to_data_format(activation(result)),
            self._to_data_format(
                self._relative_error(self._terms(weights)) * scale
                + OTHER_ROUNDINGS * smallest(self.dtype)
            ),
            self.dtype,
        )

    def gradients(
        self, inputs, weights, output_gradient, affine=None, coordinates=None
    ):
        """Gradients of the inputs, of the frame and of the weights.

        Args:
            inputs, weights, affine, coordinates: As for `outputs`.
            output_gradient: Array of the shape of the outputs.

        Returns:
            `Bounded` of the inputs, that of the frame, or `None` without one,
            and a list with that of each weight.
        """
        frame = {"affine": affine, "coordinates": coordinates}
        (values, result), (scales, scale) = self._exact_and_scale(
            self._to_channels_last(inputs), weights, frame
        )
        output_gradient = self._to_channels_last(output_gradient)
        activation, derivative, curvature = self.activation
        slope = derivative(result, activation(result))
        terms = self._terms(weights)
        bound = self._relative_error(terms) * scale
        # Within the bound from its kink, relu has either slope.
        slope_bound = (
            abs(result) <= bound
            if np.isinf(curvature)
            else np.minimum(curvature * bound, 1)
        )
        # A gradient is a sum over positions, or over the filters.
        *positions, filters = output_gradient.shape
        error = self._relative_error(max(math.prod(positions), filters * terms))
        exact, of_features, of_weights = self._backward(
            values, weights, output_gradient * slope
        )
        bound, features_bound, weights_bounds = self._backward(
            scales,
            [*map(abs, weights)],
            abs(output_gradient) * (slope_bound + error * abs(slope)),
        )
        of_frame = None
        if affine is not None or coordinates is not None:
            of_frame = self._frame_gradient(frame, of_features, features_bound)
        return (
            Bounded(*map(self._to_data_format, (exact, bound)), "float32"),
            of_frame,
            [
                Bounded(*both, self.weight_dtype)
                for both in zip(of_weights, weights_bounds, strict=True)
            ],
        )

    def _frame_gradient(self, frame, gradient, bound):
        """The gradient of `affine` or `coordinates`, from the features'."""
        error = self._relative_error(math.prod(gradient.shape))
        bound = bound + error * abs(gradient)
        indices = np.moveaxis(np.indices(self.sizes), 0, -1)
        last = np.array(self.sizes) - 1
        # For each feature: of what the coordinates are the product with steps
        # and origin. The middle of the grid, from which the radius is measured
        # by default, moves with them.
        factors = np.ones((*self.sizes, self.widened, self.rank + 1))
        factors[..., :-1] = indices[..., None, :]
        use_radius, center, _ = self._encoding(None)
        if use_radius and center is None:
            factors[..., -1, :-1] -= last / 2
            factors[..., -1, -1] = 0
        # They may be counted from the middle, of which no sum is larger.
        largest = np.append(last, 1)
        totals = []
        for number, (coordinates, middle, scale) in enumerate(
            self._coordinates(**frame)
        ):
            own = slice(None)
            if len(next(f for f in frame.values() if f is not None)) > 1:
                own = slice(number, number + 1)
            slopes, errors = numpy_slopes(
                coordinates, scale, error, *self._encoding(middle)
            )
            exact, limit = gradient[own], bound[own]
            sums = "b...c,...cd->...d"
            limit = np.einsum(sums, limit, abs(slopes)) + np.einsum(
                sums, abs(exact) + limit, errors
            )
            if frame["affine"] is None:
                totals.append((np.einsum(sums, exact, slopes), limit))
                continue
            exact = exact.sum(axis=0)[..., None, None] * (
                slopes[..., None] * factors[..., None, :]
            )
            positions = tuple(range(self.rank))
            totals.append(
                (
                    exact.sum(axis=(*positions, self.rank)),
                    limit.sum(axis=positions)[:, None] * largest,
                )
            )
        exact, bounds = map(np.stack, zip(*totals, strict=True))
        return Bounded(exact, bounds, "float32")

    def _to_channels_last(self, array):
        array = array.astype("float64")
        return np.moveaxis(array, 1, -1) if self.channels_first else array

    def _to_data_format(self, array):
        return np.moveaxis(array, -1, 1) if self.channels_first else array
