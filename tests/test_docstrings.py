"""The examples in the docstrings of the public layers do what they say."""

import inspect

import numpy as np
import pytest

import keras_coordconv


@pytest.mark.parametrize("name", keras_coordconv.layers.__all__)
def test_example(name):
    docstring = inspect.getdoc(getattr(keras_coordconv, name))
    lines = docstring.split("Example:")[1].strip().splitlines()
    *statements, expression = [
        line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")
    ]
    names = {"np": np, "keras_coordconv": keras_coordconv}
    exec("\n".join(statements), names)
    assert str(tuple(eval(expression, names))) == lines[-1]
