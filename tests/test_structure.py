"""Which module of the package may import which: no circle, no upward arrow."""

import ast
import graphlib
import pathlib

import pytest

import keras_coordconv

PACKAGE = pathlib.Path(keras_coordconv.__file__).parent
# The rooms above the layers. Each of them may import what is not one of them
# (layers, files, ...), its own modules, and these; what is below them, none.
MAY_IMPORT = {
    "models": (),
    "datasets": ("models",),
    "training": (),
    "serving": (),
    "plots": ("datasets", "models"),
    "demo": ("datasets", "models", "serving", "training"),
}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path):
    """Modules of the package that a file imports, at its top or later on."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name for name in names if name in MODULES}
        # `from package import module` needs the module alone.
        if isinstance(node, ast.ImportFrom) and found & set(names[1:]):
            found.discard(node.module)
    return found


def test_no_circle():
    graph = {name: imported_modules(path) for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()
    assert graph["keras_coordconv.training.run"] >= {
        "keras_coordconv.files",
        "keras_coordconv.training.arguments",
    }


def room_of(module):
    """Name of a package's part: a folder, or a file beside them."""
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"keras_coordconv"}))
def test_no_upward_arrow(name):
    room = room_of(name)
    rooms = {room_of(module) for module in imported_modules(MODULES[name])}
    assert not rooms & MAY_IMPORT.keys() - {room, *MAY_IMPORT.get(room, ())}
