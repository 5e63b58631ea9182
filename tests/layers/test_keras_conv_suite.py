"""Keras's own convolution tests, with CoordConv in the place of Conv.

A private copy of the test module from the Keras wheel is run with our classes
under the names of Keras's. Its NumPy convolutions are given the coordinates as
input channels, computed in NumPy.
"""

import importlib.util
import pathlib
import sys
import types
from unittest import mock

import keras.src.layers.convolutional
import pytest
from reference import append_coordinates

import keras_coordconv

CLASSES = {
    "Conv1D": keras_coordconv.CoordConv1D,
    "Conv2D": keras_coordconv.CoordConv2D,
    "Conv3D": keras_coordconv.CoordConv3D,
}


def with_coordinates(convolution):
    def convolution_with_coordinates(inputs, *args, **kwargs):
        widened = append_coordinates(
            inputs, kwargs["data_format"], kwargs["groups"]
        )
        return convolution(widened, *args, **kwargs)

    return convolution_with_coordinates


def load_suite(name):
    folder = pathlib.Path(keras.src.layers.convolutional.__path__[0])
    path = folder / f"{name}.py"
    if not path.exists():
        pytest.skip(
            f"Keras {keras.__version__} ships without its tests",
            allow_module_level=True,
        )
    spec = importlib.util.spec_from_file_location(f"coordconv_{name}", path)
    suite = importlib.util.module_from_spec(spec)
    # The tables of cases look the classes up at import, the tests later.
    with mock.patch.multiple(keras.src.layers, **CLASSES):
        spec.loader.exec_module(suite)
    suite.layers = types.SimpleNamespace(**{**vars(suite.layers), **CLASSES})
    for rank in (1, 2, 3):
        reference = f"np_conv{rank}d"
        setattr(suite, reference, with_coordinates(getattr(suite, reference)))
    sys.modules[spec.name] = suite
    return suite


suite = load_suite("conv_test")
ConvBasicTest = suite.ConvBasicTest
ConvCorrectnessTest = suite.ConvCorrectnessTest
