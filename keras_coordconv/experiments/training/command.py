"""Decorator for a script's `main`: one-line errors, clean exit on signals."""

import functools
import sys
import traceback

from keras_coordconv import _signals


def command(main):
    """Decorator for `main` that prints user errors as one line.

    User errors are file-system errors and errors raised by this project. They
    exit with status 2; anything else keeps its traceback. Ctrl-C and SIGTERM
    also print one line, and exit with status 130 and 143.

    Args:
        main: Function that takes a list of flags, or `None` for those of the
            command line.
    """

    def is_ours(error):
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        name = frame.f_globals["__name__"]
        return frame.f_globals is main.__globals__ or name.startswith(
            "keras_coordconv."
        )

    @functools.wraps(main)
    def run(argv=None):
        try:
            with _signals.clean_exit():
                return main(argv)
        except OSError as error:
            message = error
            if error.filename is not None:
                message = f"Cannot access {error.filename}: {error.strerror}."
            message = _signals.with_advice(str(message), error)
        except (ImportError, RuntimeError, ValueError) as error:
            # examples/startup.py reports which package to install.
            if isinstance(error, ModuleNotFoundError) or not is_ours(error):
                raise
            message = error
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)

    return run
