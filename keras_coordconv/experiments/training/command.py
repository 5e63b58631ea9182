"""The command line's `main`: errors in one line, and clean ends on signals."""

import functools
import sys
import traceback

from keras_coordconv import _signals


def command(main):
    """Decorator for `main`: a user's error is one line and exit status 2.

    A user's error is one of files and folders, or one that the project's own
    code raises; others come with their traceback. Ctrl-C is one line and exit
    status 130; SIGTERM is, too, with 143.

    Args:
        main: Function of a list of flags, or of `None`.
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
                message = (
                    "Files and folders must be there and be writable. "
                    f"Received: {error.filename} ({error.strerror})."
                )
            message = _signals.with_advice(str(message), error)
        except (ImportError, RuntimeError, ValueError) as error:
            # What to install is said in one place, examples/startup.py.
            if isinstance(error, ModuleNotFoundError) or not is_ours(error):
                raise
            message = error
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)

    return run
