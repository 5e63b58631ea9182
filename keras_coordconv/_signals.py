"""Ends a command cleanly on Ctrl-C, SIGTERM and SIGHUP.

The first signal raises `Stopped` in the main thread: incomplete files and
folders are removed, and child processes end. A second signal ends the process
at once.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading

NAMES = {
    signal.SIGINT: "Interrupted.",
    signal.SIGTERM: "Terminated.",
    signal.SIGHUP: "Hung up.",
}

_ADVICE = "To continue: "

_received = None
_printed = False
_stderr = 2


class Stopped(KeyboardInterrupt):
    """Raised when a signal that ends the process arrives."""


class ContinuedBy:
    """Context manager that adds to an error or signal how to continue.

    Args:
        *command: Strings, the command that continues the work.
    """

    def __init__(self, *command):
        self.command = command

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            # Not at the top: `import keras_coordconv` loads what Keras loads.
            import shlex

            error.add_note(f"{_ADVICE}{shlex.join(self.command)}")


def with_advice(message, error):
    """Appends the error's note on how to continue, if any, to a message."""
    notes = getattr(error, "__notes__", ())
    advice = [note for note in notes if note.startswith(_ADVICE)]
    return " ".join([message, *advice])


@contextlib.contextmanager
def command_imports():
    """Surrounds the imports of `python -m keras_coordconv.X`.

    Python imports the package first, and Keras with it. A signal then ends the
    process with one line, and TensorFlow prints none of its own. Until the
    module starts, its name in `sys.argv` is `-m`.
    """
    global _stderr
    if (
        sys.argv[:1] != ["-m"]
        or sys.stderr is None
        or not any(
            argument.removeprefix("-m").startswith("keras_coordconv.")
            for argument in sys.orig_argv
        )
    ):
        yield
        return
    _set_handlers(_end_now)
    # TensorFlow raises its errors as exceptions. No setting turns off all that
    # it prints on import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        copy, _stderr = _stderr, 2
        os.dup2(copy, 2)
        os.close(copy)


@contextlib.contextmanager
def clean_exit():
    """Turns a signal into one line on stderr and a shell's exit status.

    Raises:
        SystemExit: with 128 plus the signal's number, if one arrives.
    """
    previous = _set_handlers(_stop)
    try:
        with _temporary_folder():
            yield
    except BaseException as error:
        # A library may have turned `Stopped` into an error of its own.
        number = _received
        if number is None and isinstance(error, KeyboardInterrupt):
            number = signal.SIGINT
        if number is None:
            raise
        _print_line(with_advice(NAMES[number], error))
        raise SystemExit(128 + number) from None
    finally:
        if _received is None:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _temporary_folder():
    """Removes what libraries leave in the temporary folder when stopped."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def _set_handlers(handler):
    """Sets a handler for the signals that would end the process."""
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in NAMES:
            # A process started with `nohup` ignores SIGHUP, for example.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    return previous


def _stop(number, frame):
    global _received
    _received = number
    _set_handlers(_end_now)
    raise Stopped


def _end_now(number, frame):
    _print_line(NAMES[number])
    os._exit(128 + number)


def _print_line(line):
    global _printed
    if not _printed:
        # Not by `print`, which the signal may have interrupted.
        os.write(_stderr, f"\n{line}\n".encode())
    _printed = _received is not None
