"""Shows Keras's docstrings: their examples as code, and all of their titles.

Griffe, which reads the docstrings, hands each of them to this extension. It
knows the titles that are not here; and of what a function returns, it would
take each line for a value of its own.

The signature of a layer is complete: Keras's arguments, then ours, with values
instead of the names of constants. Docstrings state the types.
"""

import importlib.util
import pathlib
import re
import textwrap

import griffe

# From `>>>` to the next empty line.
EXAMPLE = re.compile(r"^(>>> .*(?:\n.*\S.*)*)", re.MULTILINE)
TITLE = re.compile(r"^((?:Example|Input shape|Output shape):)", re.MULTILINE)
INDENTED = re.compile(
    r"^((?:Returns|Yields|Input and output shape):)\n((?: +.*\n*)+)",
    re.MULTILINE,
)
KERAS_LAYER = re.compile(
    r"`keras\.layers\.((?:Depthwise|Separable)?)(Conv)(\dD)((?:Transpose)?)`"
)
KERAS_PAGES = "https://keras.io/api/layers/convolution_layers/"
KERAS = pathlib.Path(importlib.util.find_spec("keras").origin).parent


class KerasDocstrings(griffe.Extension):
    def on_object(self, *, obj, **_):
        if obj.docstring:
            text = EXAMPLE.sub(r"```pycon\n\1\n```", obj.docstring.value)
            text = TITLE.sub(r"**\1**", text)
            text = text.replace("Call arguments:", "Args: Call arguments:")
            text = KERAS_LAYER.sub(_link_to_keras, text)
            obj.docstring.value = INDENTED.sub(
                lambda match: f"**{match[1]}** {textwrap.dedent(match[2])}",
                text,
            )

    def on_package(self, *, pkg, **_):
        for obj in _members(pkg):
            if obj.is_class:
                _complete_signature(obj)
            elif obj.is_function:
                obj.parameters = griffe.Parameters(
                    *(_with_value(each, pkg) for each in obj.parameters)
                )


def _link_to_keras(match):
    parts = match[1], match[2] + "olution" + match[3], match[4]
    page = "_".join(filter(None, parts)).lower()
    return f"[{match[0]}]({KERAS_PAGES}{page})"


def _members(obj):
    for member in obj.members.values():
        if not member.is_alias:
            yield member
            yield from _members(member)


def _with_value(parameter, package):
    """Returns the parameter without its type, and with a value as default."""
    default = parameter.default
    if isinstance(default, griffe.ExprName) and default.name.isupper():
        path = default.canonical_path.removeprefix(f"{package.name}.")
        default = str(package[path].value)
    return griffe.Parameter(
        parameter.name, kind=parameter.kind, default=default
    )


def _complete_signature(layer):
    """Replaces `*args` of a CoordConv layer with the arguments of Keras's."""
    base = str(layer.bases[-1]) if layer.bases else ""
    name = base.removeprefix("keras.layers.")
    module = re.sub(r"(?<=[a-zD])(?=[A-Z])", "_", name).lower()
    path = KERAS / f"src/layers/convolutional/{module}.py"
    if name == base or not path.exists():
        return
    of_keras = griffe.visit(module, path, path.read_text(encoding="utf-8"))
    theirs = of_keras[f"{name}.__init__"].parameters
    ours = layer.all_members["__init__"].parameters
    parameters = griffe.Parameters(
        *(each for each in theirs if each.name != "kwargs"),
        *(each for each in ours if each.name not in ("self", "args")),
    )
    layer.set_member(
        "__init__", griffe.Function("__init__", parameters=parameters)
    )
