"""A command that is stopped: one line, the status of a shell, nothing left."""

import pathlib
import signal
import subprocess
import sys

import pytest

from keras_coordconv import _signals

# Without the package around it, and its TensorFlow.
PROGRAM = f"""
import pathlib, subprocess, sys, time
sys.path.insert(0, {str(pathlib.Path(_signals.__file__).parent)!r})
import _signals

def say(line):
    print(line, flush=True)

def wait():
    say("waiting")
    time.sleep(600)

with _signals.clean_exit(), _signals.ContinuedBy("python", "it is.py"):
"""
WAIT = """
    try:
        wait()
    finally:
        say("cleaned")
"""
CLEAN_FOREVER = """
    try:
        wait()
    finally:
        wait()
"""
OTHER_ERROR = """
    try:
        wait()
    except BaseException as error:
        raise RuntimeError("a library's own") from error
"""
CHILD = """
    subprocess.run([sys.executable, "-c", "print('waiting', flush=True);"
        "import time; time.sleep(600)"])
"""
TEMPORARY = """
    import tempfile
    tempfile.mkdtemp()
    wait()
"""
SIGNALS = list(_signals.NAMES)


def start(program, before=None):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    assert process.stdout.readline() == "waiting\n"
    return process


def finish(process, number, advice=" To continue: python 'it is.py'"):
    """What it has printed, when it has ended with one line."""
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    name = _signals.NAMES[number]
    assert errors == f"\n{name}{advice}\n"
    return printed


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("program", "printed"),
    [(WAIT, "cleaned\n"), (OTHER_ERROR, ""), (CHILD, "")],
)
def test_one_line(number, program, printed):
    process = start(program)
    process.send_signal(number)
    # With a child that lives, the pipe would stay open.
    assert finish(process, number) == printed


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(first, second):
    process = start(CLEAN_FOREVER)
    process.send_signal(first)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(second)
    finish(process, second, advice="")


@pytest.mark.parametrize(
    ("command", "number", "moment"),
    [
        ("-m keras_coordconv.serving config .", signal.SIGINT, "numpy"),
        ("-m keras_coordconv.serving check .", signal.SIGTERM, "keras.src"),
        ("-mkeras_coordconv.experiments.demo", signal.SIGINT, "keras.src"),
        ("-mkeras_coordconv.experiments.demo", signal.SIGHUP, "numpy"),
    ],
)
def test_during_the_imports(tmp_path, monkeypatch, command, number, moment):
    (tmp_path / "sitecustomize.py").write_text(f"""
import sys

class Finder:
    def find_spec(name, path=None, target=None):
        if name == {moment!r}:
            print("now", flush=True)

sys.meta_path.insert(0, Finder)
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    process = subprocess.Popen(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors == f"\n{_signals.NAMES[number]}\n"


@pytest.mark.parametrize("module", ["serving", "experiments.demo"])
def test_no_lines_of_tensorflow(module):
    command = [sys.executable, "-m", f"keras_coordconv.{module}"]
    ended = subprocess.run(
        [*command, "--surprise"], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 2
    first, *lines = ended.stderr.splitlines()
    assert first.startswith(("error: ", "usage: "))
    assert "TensorFlow" not in ended.stderr and len(lines) <= 2


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_ignored_stays_ignored(number):
    """As with `nohup`."""

    def ignore():
        signal.signal(number, signal.SIG_IGN)

    process = start(WAIT, ignore)
    process.send_signal(number)
    other = signal.SIGINT if number != signal.SIGINT else signal.SIGTERM
    process.send_signal(other)
    assert finish(process, other) == "cleaned\n"


def test_temporary_folders_of_libraries_are_removed(tmp_path, monkeypatch):
    """Keras makes one where it saves a model."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = start(TEMPORARY)
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGTERM)
    finish(process, signal.SIGTERM)
    assert not list(tmp_path.iterdir())


def test_handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    with _signals.clean_exit():
        during = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="own"), _signals.clean_exit():
        raise ValueError("own")
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert not set(during) & set(before)
