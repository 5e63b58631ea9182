"""Errors of the client, and text from a server in their messages."""

# Of a text of the server in a message.
_MAX_LENGTH = 500
# Raised by reading an answer that has another form than the server's.
MALFORMED_RESPONSE = (
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)


class ServingError(RuntimeError):
    """What a server answered instead of a result.

    Attributes:
        status: Integer HTTP status, or string gRPC status; `None` where there
            was no answer.
        unavailable: Boolean, whether it may work a moment later.
    """

    def __init__(self, message, status=None, unavailable=False):
        super().__init__(message)
        self.status = status
        self.unavailable = unavailable


def plain(text):
    """Text of a server in one line, without control characters."""
    text = "".join(c if c.isprintable() else " " for c in f"{text}")
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."
