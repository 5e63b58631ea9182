"""Benchmark: what a CoordConv2D costs next to a Conv2D.

Time of inference and of a training step, for five ways to compute the same:

    conv            keras.layers.Conv2D, which sees no coordinates: the unit
    coordconv       CoordConv2D
    folded          CoordConv2D after fold_coordinates (inference only)
    concatenation   CoordinateChannel2D, then Conv2D
    matmul          coordinates by a matrix product for each image, as in the
                    first implementations, then concatenation and Conv2D
    repeat          coordinates repeated over the batch, then the same

on a grid of shapes. All are timed in turns, call by call, so that what else the
machine does hits all alike; each time is divided by that of `conv` in the same
turn, and the median of these ratios is reported.

    python examples/benchmark_layers.py

takes about 15 minutes on 2 cores. It prints a table and writes json and a chart.
"""

import argparse
import json
import pathlib
import platform
import time

import keras
import numpy as np
from keras import ops

import keras_coordconv
from keras_coordconv import plots
from keras_coordconv.training import arguments

# Size, input channels, filters, kernel size, stride, batch size.
SHAPES = [
    (224, 3, 8, 1, 1, 1),
    (224, 3, 64, 3, 2, 16),
    (224, 8, 64, 7, 2, 1),
    (112, 16, 32, 3, 1, 16),
    (112, 32, 64, 1, 1, 1),
    (56, 64, 64, 1, 1, 16),
    (56, 64, 64, 3, 1, 16),
    (56, 64, 256, 1, 1, 1),
    (56, 128, 128, 3, 2, 16),
    (28, 128, 128, 3, 1, 32),
    (28, 256, 128, 1, 1, 16),
    (14, 256, 256, 3, 1, 32),
    (14, 256, 256, 1, 1, 1),
    (64, 3, 32, 3, 1, 32),
    (64, 32, 32, 1, 1, 32),
    (64, 64, 128, 3, 2, 1),
]


class MatmulCoordinates(keras.layers.Layer):
    """Coordinates as outer products of ones and a range, for each image."""

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        channels = []
        for size, other, transpose in (
            (height, width, False),
            (width, height, True),
        ):
            index = ops.broadcast_to(
                ops.cast(ops.arange(size), "int32")[None, :, None],
                (batch, size, 1),
            )
            ones = ops.ones((batch, 1, other), "int32")
            grid = ops.cast(ops.matmul(index, ones), self.compute_dtype)
            grid = grid / (size - 1) * 2 - 1
            if transpose:
                grid = ops.transpose(grid, (0, 2, 1))
            channels.append(grid[..., None])
        return ops.concatenate([inputs, *channels], axis=-1)


class RepeatCoordinates(keras.layers.Layer):
    """Coordinates as a grid that is repeated over the batch."""

    def call(self, inputs):
        batch, height, width, _ = ops.shape(inputs)
        rows = ops.arange(height, dtype=self.compute_dtype) / (height - 1)
        columns = ops.arange(width, dtype=self.compute_dtype) / (width - 1)
        grid = ops.stack(ops.meshgrid(rows, columns, indexing="ij"), axis=-1)
        grid = ops.repeat((grid * 2 - 1)[None], batch, axis=0)
        return ops.concatenate([inputs, grid], axis=-1)


def build_models(shape, activation):
    """The models to compare, by name, on the same input."""
    size, channels, filters, kernel_size, strides, _ = shape

    def model(*layers):
        return keras.Sequential([keras.Input((size, size, channels)), *layers])

    def convolution(layer_class=keras.layers.Conv2D):
        return layer_class(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            activation=activation,
        )

    coordconv = model(convolution(keras_coordconv.CoordConv2D))
    return {
        "conv": model(convolution()),
        "coordconv": coordconv,
        "folded": keras_coordconv.fold_coordinates(coordconv),
        "concatenation": model(
            keras_coordconv.CoordinateChannel2D(), convolution()
        ),
        "matmul": model(MatmulCoordinates(), convolution()),
        "repeat": model(RepeatCoordinates(), convolution()),
    }
