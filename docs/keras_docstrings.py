"""Shows the examples of Keras's docstrings as code.

Griffe, which reads the docstrings, hands each of them to this extension.
"""

import re

import griffe

# From `>>>` to the next empty line.
EXAMPLE = re.compile(r"^(>>> .*(?:\n.*\S.*)*)", re.MULTILINE)


class KerasDocstrings(griffe.Extension):
    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(
                r"```pycon\n\1\n```", obj.docstring.value
            )
