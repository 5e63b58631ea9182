"""Serving of trained models with TensorFlow Serving: export and client.

A client needs neither TensorFlow nor Keras: what needs them is imported when it
is asked for.
"""

import importlib

_MODULES = {
    "Signature": "signatures",
    "encoded_image_signature": "signatures",
    "export_for_serving": "export",
    "ServingClient": "client",
    "ServingError": "client",
    "write_config": "config",
}

__all__ = sorted(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
