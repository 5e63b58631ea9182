"""Imported first by each script: a quiet TensorFlow and a fast `--help`.

If a package is missing, one line reports how to install it.

For `--help`, neither TensorFlow nor any other slow package is imported: the
script only builds its parser, which does not need them.

A signal during the imports ends the script with one line. Afterwards,
`training.command` handles signals.
"""

import environment  # noqa: F401, before TensorFlow

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pathlib
import signal
import sys
import types

SLOW_PACKAGES = (
    "keras",
    "matplotlib",
    "tensorflow",
    "tensorflow_datasets",
)
# Extras of setup.py that install a package; "experiments" has all others.
EXTRAS = {
    "ale_py": "atari",
    "gymnasium": "atari",
    "lmdb": "lsun",
    "tensorboard": "tensorboard",
}


class _Nothing(type):
    """Metaclass of a stand-in for anything that a module uses on import.

    Its attributes are itself, it can be subclassed, and as a decorator it
    changes nothing.
    """

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *arguments, **_):
        return arguments[0] if arguments and callable(arguments[0]) else cls


class _Module(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        return getattr(_Nothing("Nothing", (), {}), name)


class _NoImports(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Replaces the slow packages by empty modules."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in SLOW_PACKAGES:
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Imports TensorFlow without the messages that no setting turns off."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec:
            loader = spec.loader
            loader.exec_module = functools.partial(
                _without_stderr, loader.exec_module
            )
        return spec


def _without_stderr(function, *arguments):
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        return function(*arguments)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _report_missing_package(kind, error, trace):
    if not issubclass(kind, ModuleNotFoundError):
        return sys.__excepthook__(kind, error, trace)
    folder = pathlib.Path(__file__).resolve().parents[1]
    package = error.name.partition(".")[0]
    extra = EXTRAS.get(package, "experiments")
    print(
        f"error: {package} is not installed. "
        f"Run: pip install 'coordconv-keras[{extra}] @ {folder.as_uri()}'",
        file=sys.stderr,
    )
    raise SystemExit(2)


sys.excepthook = _report_missing_package


def _end(number, frame):
    os.write(2, b"\nInterrupted.\n")
    os._exit(128 + number)


def _is_script():
    """Returns whether the program is a script in this folder, not a test."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    folder = os.path.dirname(os.path.abspath(__file__))
    return path and os.path.dirname(os.path.abspath(path)) == folder


if _is_script():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
PRINTS_HELP = not {"-h", "--help"}.isdisjoint(sys.argv[1:])
sys.meta_path.insert(0, _NoImports() if PRINTS_HELP else _QuietTensorFlow())
