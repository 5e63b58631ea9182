"""Errors of the client, and text from the server in their messages."""

# Maximum length of text from the server in an error message.
_MAX_LENGTH = 500
# Errors raised when a response does not have the expected form.
MALFORMED_RESPONSE = (
    AttributeError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)


class ServingError(RuntimeError):
    """Raised when a server is unreachable or does not return a valid result.

    Attributes:
        status: Integer HTTP status or string gRPC status; `None` if there was
            no response.
        unavailable: Boolean, whether a later retry may succeed.
    """

    def __init__(self, message, status=None, unavailable=False):
        super().__init__(message)
        self.status = status
        self.unavailable = unavailable


def plain(text):
    """Format text from the server as one line without control characters."""
    text = "".join(c if c.isprintable() else " " for c in f"{text}")
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."
