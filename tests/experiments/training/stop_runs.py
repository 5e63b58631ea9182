"""Stops trainings, sweeps and exports with SIGTERM; for test_faults.py.

    python stop_runs.py supervised FOLDER 10

`sweep` and `export` are kinds, too. Each is a fork of this process, and is
continued with the same command. No process and no file in TMPDIR may be left.
"""

import atexit
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import keras
import kill_runs
import toys

from keras_coordconv import _signals
from keras_coordconv.experiments.training import sweeps
from keras_coordconv.experiments.training.command import command
from keras_coordconv.serving import export_for_serving

# A run without TensorFlow, to be started quickly: it says when it has begun.
POINT = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[2].removeprefix("--workdir="))
folder.mkdir(exist_ok=True)
(folder / "begun").touch()
time.sleep(600)
"""


@command
def sweep(folder):
    script = folder / "point.py"
    folder.mkdir(exist_ok=True)
    script.write_text(POINT)
    with _signals.ContinuedBy("python", "it's sweep.py"):
        sweeps.run_points([(script, folder / "point", {"seed": 0})])


@command
def export(folder):
    with _signals.ContinuedBy("python", "export.py"):
        while True:
            inputs = keras.Input((4,))
            model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
            export_for_serving(model, folder / "model")


def train(kind):
    def run(folder):
        flags = ["--resume", "--workdir", str(folder), "--epochs", "1000"]
        return toys.KINDS[kind](flags)

    return run


def start(main, folder, log):
    process = os.fork()
    if process:
        return process
    # The children of this process can be found by its group.
    os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    status = 1
    try:
        main(folder)
        status = 0
    except SystemExit as error:
        status = error.code
    finally:
        # TensorFlow removes its temporary files at the end of a process.
        atexit._run_exitfuncs()
        os._exit(status)


def is_writing(folder):
    return list(folder.glob(".keras_coordconv-*"))


def has_epoch(folder, epoch):
    return kill_runs.epochs_done(folder) >= epoch


def wait_for(process, condition, *arguments):
    deadline = time.monotonic() + 300
    while not condition(*arguments):
        assert time.monotonic() < deadline
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "it has ended"
        time.sleep(0.01)


def children(process):
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(process)],
        check=False,
        capture_output=True,
        text=True,
    )
    return found.stdout.splitlines()


def left_in_group(group):
    found = subprocess.run(
        ["ps", "-e", "-o", "pgid=,stat=,args="],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line.split(None, 2) for line in found.stdout.splitlines()]
    return [line for line in lines if line[0] == str(group)]


def main(kind, parent, count):
    parent = pathlib.Path(parent).absolute()
    temporary = parent / "temporary"
    temporary.mkdir()
    tempfile.tempdir = str(temporary)
    os.environ["TMPDIR"] = str(temporary)
    folder, log = parent / kind, parent / "log"
    random_numbers = random.Random(0)
    run = {"sweep": sweep, "export": export}.get(kind) or train(kind)
    done = 0
    for number in range(int(count)):
        process = start(run, folder, log)
        if kind == "sweep":
            begun = folder / "point" / "begun"
            wait_for(process, begun.exists)
            begun.unlink()
        elif kind == "export":
            wait_for(process, is_writing, folder / "model")
            if number % 2:
                wait_for(process, children, process)
        else:
            wait_for(process, has_epoch, folder, done + number % 2 + 1)
        time.sleep(random_numbers.uniform(0, 1))
        begin = time.monotonic()
        os.kill(process, signal.SIGTERM)
        _, status = os.waitpid(process, 0)
        seconds = time.monotonic() - begin
        printed = log.read_text()
        status = os.waitstatus_to_exitcode(status)
        assert status == 143, (number, status, printed)
        line = printed.splitlines()[-1]
        assert line.startswith("Terminated. To continue: python "), printed
        assert "Traceback" not in printed, printed
        assert not left_in_group(process)
        left = list(temporary.iterdir())
        assert not left, left
        assert not list(folder.rglob(".keras_coordconv-*"))
        now = kill_runs.epochs_done(folder)
        assert now >= done
        done = now
        print(f"{number}: {seconds:.2f} s, {done} epochs", flush=True)
    print(f"{count} SIGTERMs, nothing left, {done} epochs")


if __name__ == "__main__":
    main(*sys.argv[1:])
