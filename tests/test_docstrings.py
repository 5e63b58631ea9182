"""The public API: examples that do what they say, type hints, the reference."""

import inspect
import pathlib

import keras
import numpy as np
import pytest

import keras_coordconv


@pytest.mark.parametrize(
    "name", [*keras_coordconv.layers.__all__, "CoordAugmentation"]
)
def test_example(name):
    docstring = inspect.getdoc(getattr(keras_coordconv, name))
    lines = docstring.split("Example:")[1].strip().splitlines()
    *statements, expression = [
        line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")
    ]
    names = {"np": np, "keras": keras, "keras_coordconv": keras_coordconv}
    exec("\n".join(statements), names)
    assert str(tuple(eval(expression, names))) == lines[-1]


FUNCTIONS = [
    name
    for name in keras_coordconv.__all__
    if inspect.isfunction(getattr(keras_coordconv, name))
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_type_hints(name):
    signature = inspect.signature(getattr(keras_coordconv, name))
    hints = [p.annotation for p in signature.parameters.values()]
    assert inspect.Signature.empty not in [*hints, signature.return_annotation]


@pytest.mark.parametrize("name", keras_coordconv.layers.__all__)
def test_type_hints_of_layers(name):
    parameters = inspect.signature(getattr(keras_coordconv, name)).parameters
    own = parameters.keys() & {"use_radius", "radius_center", "temperature"}
    for argument in (*own, "coordinate_range", "align"):
        assert parameters[argument].annotation is not inspect.Parameter.empty


ROOMS = ("datasets", "evaluation", "models", "reinforcement", "training")


def test_all_are_in_the_reference():
    root = pathlib.Path(__file__).parents[1]
    pages = (root / "docs/api").glob("*.md")
    reference = "".join(page.read_text() for page in pages)
    modules = [
        f"experiments.{room}.{path.stem}"
        for room in ROOMS
        for path in (root / "keras_coordconv/experiments" / room).glob(
            "[!_]*.py"
        )
    ]
    for name in (*keras_coordconv.__all__, *modules):
        assert f"::: keras_coordconv.{name}\n" in reference, name
