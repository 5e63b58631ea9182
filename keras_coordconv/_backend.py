"""Imports Keras. If its backend is missing, the error says what to install."""

from keras_coordconv import _signals

try:
    with _signals.command_imports():
        import keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("tensorflow", "jax", "torch"):
        raise
    raise ModuleNotFoundError(
        f"Keras's backend {error.name} is not installed. "
        f"Run: pip install {error.name}, or set the environment variable "
        "KERAS_BACKEND to one that is installed: tensorflow, jax or torch",
        name=error.name,
    ) from None
