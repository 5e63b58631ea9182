"""The errors of a user, in one line."""

import errno
import os
import pathlib

import pytest

from keras_coordconv import _signals
from keras_coordconv.experiments.training.command import command


def raise_from_keras(argv):
    import keras

    keras.layers.Dense(-1)


def raise_own(argv):
    raise ValueError("The rule. Received: x")


def raise_of_the_project(argv):
    from keras_coordconv import coordinate_grid

    coordinate_grid((-1, 2))


def open_missing(argv):
    pathlib.Path("nowhere/file").read_text()


def interrupt(argv):
    with _signals.ContinuedBy("python", "a b.py"):
        raise KeyboardInterrupt


def fill_the_disk(argv):
    with _signals.ContinuedBy("python", "it's.py"):
        raise OSError(
            errno.ENOSPC, os.strerror(errno.ENOSPC), "run/model.keras"
        )


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        (raise_own, 2, "error: The rule. Received: x"),
        (raise_of_the_project, 2, "error: "),
        (open_missing, 2, "Cannot access nowhere/file: No such file"),
        (interrupt, 130, "Interrupted. To continue: python 'a b.py'"),
        (fill_the_disk, 2, "run/model.keras: No space left on device. To"),
        (fill_the_disk, 2, """To continue: python 'it'"'"'s.py'"""),
    ],
)
def test_command_says_it_in_one_line(capfd, main, status, line):
    with pytest.raises(SystemExit, match=str(status)):
        command(main)([])
    (printed,) = capfd.readouterr().err.strip().splitlines()
    assert line in printed


def test_command_does_not_hide_errors_that_are_not_the_users():
    with pytest.raises(ValueError, match="units"):
        command(raise_from_keras)([])
    assert command(os.path.basename)("a/b") == "b"
