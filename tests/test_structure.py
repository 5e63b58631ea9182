"""Which module of the package may import which: no circle, no upward arrow."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

import keras_coordconv

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = pathlib.Path(keras_coordconv.__file__).parent
# The rooms of the library: each may import its own modules and these.
LIBRARY = {
    "_signals": (),
    "_backend": ("_signals",),
    "_files": (),
    "_install": (),
    "coordinates": (),
    "encodings": ("coordinates",),
    "frames": ("coordinates",),
    "layers": ("coordinates", "frames"),
    "preprocessing": (),
    "conversion": ("coordinates", "frames", "layers"),
    "report": ("conversion",),
    "tiles": ("conversion", "coordinates"),
    "keras_coordconv": (
        *("_backend", "conversion", "coordinates", "encodings", "frames"),
        *("layers", "preprocessing", "report", "tiles"),
    ),
    "serving": (
        *("_files", "_install", "_signals", "conversion"),
        "keras_coordconv",
    ),
}
# Those of the experiments: each may import the library without `serving`, too.
EXPERIMENTS = {
    "benchmarking": ("training",),
    "canvas": (),
    "models": ("canvas",),
    "datasets": ("canvas",),
    "evaluation": ("canvas",),
    "training": ("serving",),
    "reinforcement": ("training",),
    "plots": ("canvas", "datasets", "evaluation"),
    "demo": (
        *("canvas", "datasets", "models", "plots", "reinforcement"),
        *("serving", "training"),
    ),
    "experiments": ("evaluation", "models", "reinforcement", "training"),
}
MAY_IMPORT = LIBRARY | {
    room: (*(LIBRARY.keys() - {"serving"}), *rooms)
    for room, rooms in EXPERIMENTS.items()
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
    assert graph["keras_coordconv.experiments.training.run"] >= {
        "keras_coordconv._files",
        "keras_coordconv.experiments.training.results",
    }


def calls_without_encoding(path):
    """Lines that read or write text in the encoding of the user's locale."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = {keyword.arg for keyword in node.keywords}
            if (
                node.func.attr in ("read_text", "write_text")
                and "encoding" not in keywords
                and ast.unparse(node.func.value) != "_files"
            ):
                yield node.lineno


def test_text_files_are_utf_8_in_every_locale():
    for folder in (PACKAGE, ROOT / "docs", ROOT / "examples"):
        paths = list(folder.rglob("*.py"))
        assert paths, folder
        for path in paths:
            assert not list(calls_without_encoding(path)), path
    strict = ["-Xwarn_default_encoding", "-Werror::EncodingWarning"]
    setup = [ROOT / "setup.py", "--version"]
    printed = subprocess.run(
        [sys.executable, *strict, *setup], check=True, capture_output=True
    ).stdout
    assert printed.decode().strip() == keras_coordconv.__version__


def room_of(module):
    """Name of a package's part: a folder, or a file beside them."""
    parts = module.split(".")
    if parts[:2] == ["keras_coordconv", "experiments"]:
        parts = parts[1:]
    return parts[1] if len(parts) > 1 else parts[0]


def test_every_module_is_in_a_room():
    assert {room_of(name) for name in MODULES} == {*LIBRARY, *EXPERIMENTS}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_upward_arrow(name):
    room = room_of(name)
    rooms = {room_of(module) for module in imported_modules(MODULES[name])}
    if name == "keras_coordconv.serving.__main__":
        # The command line also exports models that the scripts have saved.
        rooms.discard("experiments")
    assert rooms <= {room, *MAY_IMPORT[room]}


def registered_names(path):
    """Names under which Keras saves the classes and functions of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", ()):
            if "register_keras_serializable" in ast.unparse(decorator):
                yield node.name


def test_names_of_saved_classes_are_unique():
    # A second class of the same name would replace the first one in the models
    # that users load.
    names = [
        name for path in MODULES.values() for name in registered_names(path)
    ]
    assert len(names) > 30
    assert sorted(names) == sorted(set(names))
