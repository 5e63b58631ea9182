"""Errors of the client, and text from the server in their messages."""

# Maximum length of text from the server in an error message.
_MAX_LENGTH = 500
# Cleaning a longer text would take a long time.
_MAX_UNCLEANED_LENGTH = 4 * _MAX_LENGTH
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
    text = f"{text}"
    cut = text[:_MAX_UNCLEANED_LENGTH]
    clean = "".join(c if c.isprintable() else " " for c in cut)
    clean = " ".join(clean.split())
    is_whole = len(cut) == len(text) and len(clean) <= _MAX_LENGTH
    return clean if is_whole else f"{clean[:_MAX_LENGTH]}..."
