"""Export to TensorFlow Serving and other servers, and a client for them.

Modules that need TensorFlow are imported on first use. The client needs it only
for gRPC.
"""

import importlib

_MODULES = {
    "Signature": "signatures",
    "encoded_image_signature": "signatures",
    "with_png": "signatures",
    "export_for_serving": "export",
    "export_for_runtime": "runtimes",
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
