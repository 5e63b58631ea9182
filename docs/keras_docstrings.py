"""Shows Keras's docstrings: their examples as code, and all of their titles.

Griffe, which reads the docstrings, hands each of them to this extension. It
knows the titles that are not here; and of what a function returns, it would
take each line for a value of its own.
"""

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


class KerasDocstrings(griffe.Extension):
    def on_object(self, *, obj, **_):
        if obj.docstring:
            text = EXAMPLE.sub(r"```pycon\n\1\n```", obj.docstring.value)
            text = TITLE.sub(r"**\1**", text)
            text = text.replace("Call arguments:", "Args: Call arguments:")
            obj.docstring.value = INDENTED.sub(
                lambda match: f"**{match[1]}** {textwrap.dedent(match[2])}",
                text,
            )
