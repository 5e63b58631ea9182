"""Kills trainings of `toys.py` and resumes them; for test_killed.py.

    python kill_runs.py supervised FOLDER

Each training is a fork of this process, so that TensorFlow is imported once.
"""

import csv
import io
import json
import os
import pathlib
import random
import signal
import sys
import time
import zipfile

import h5py
import numpy as np
import toys

KILLS_AT_RENAMES = 5
KILLS_AT_RANDOM = 10


def start(kind, folder, epochs=1000, at_rename=None):
    """Begins or resumes a training in a process of its own.

    Args:
        at_rename: Integer, which renaming of a file kills the process: before
            it takes place if the number is even, or just after it.
    """
    flags = ["--workdir", str(folder), "--epochs", str(epochs)]
    if (folder / "args.json").exists():
        flags = ["--workdir", str(folder), "--resume"]
    process = os.fork()
    if process:
        return process
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if at_rename is not None:
        kill_at_rename(at_rename)
    status = 1
    try:
        toys.KINDS[kind](flags)
        status = 0
    finally:
        os._exit(status)


def kill_at_rename(number):
    replace, count = os.replace, 0

    def counted_replace(*paths):
        nonlocal count
        count += 1
        if count == number and number % 2:
            replace(*paths)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = counted_replace


def read_weights(file):
    weights = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()]

    with h5py.File(file) as opened:
        opened.visititems(add)
    return weights


def read_all(folder):
    """All that a run has written, but for times; fails on half a file."""
    contents = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or ".keras_coordconv-" in name:
            continue
        if path.suffix == ".json":
            contents[name] = json.loads(path.read_text())
            contents[name].pop("seconds", None)
            contents[name].pop("workdir", None)
            # The rows of history.csv with their times, and a sum over them.
            contents[name].pop("history", None)
            contents[name].pop("crc32", None)
        elif path.suffix == ".csv":
            rows = list(csv.DictReader(io.StringIO(path.read_text())))
            contents[name] = [{**row, "seconds": None} for row in rows]
            assert all(None not in row.values() for row in rows)
        elif path.suffix == ".h5":
            contents[name] = read_weights(path)
        else:
            assert path.suffix == ".keras", f"unknown: {path}"
            with zipfile.ZipFile(path) as file:
                assert file.testzip() is None
                weights = io.BytesIO(file.read("model.weights.h5"))
            contents[name] = read_weights(weights)
    return contents


def epochs_done(folder):
    checkpoints = folder.glob("checkpoint-*")
    return max(
        (int(path.name.split("-")[1]) for path in checkpoints), default=0
    )


def main(kind, parent):
    folder, done = pathlib.Path(parent, "killed"), 0
    random_numbers = random.Random(0)

    def check_after_kill(process):
        _, status = os.waitpid(process, 0)
        assert os.WIFSIGNALED(status), folder.with_suffix(".log").read_text()
        now, rows = epochs_done(folder), read_all(folder).get("history.csv", [])
        assert done <= now <= len(rows) <= now + 1
        return now

    for number in range(1, KILLS_AT_RENAMES + 1):
        done = check_after_kill(start(kind, folder, at_rename=number))
    for kill in range(KILLS_AT_RANDOM):
        process = start(kind, folder)
        begin = time.monotonic()
        while epochs_done(folder) < done + kill % 3:
            time.sleep(0.02)
        seconds = 1 if kill % 3 == 0 else (time.monotonic() - begin) / 2
        time.sleep(random_numbers.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        done = check_after_kill(process)

    whole = pathlib.Path(parent, "whole")
    _, status = os.waitpid(start(kind, whole, epochs=done), 0)
    assert status == 0, whole.with_suffix(".log").read_text()
    expected, found = read_all(whole), read_all(folder)
    found["history.csv"] = found["history.csv"][:done]
    compared = {name for name in expected if name.startswith("checkpoint-")}
    assert compared == {n for n in found if n.startswith(f"checkpoint-{done}/")}
    for name in ("history.csv", *compared):
        np.testing.assert_equal(found[name], expected[name], name)
    print(f"{done} epochs with {KILLS_AT_RENAMES + KILLS_AT_RANDOM} kills")


if __name__ == "__main__":
    main(*sys.argv[1:])
