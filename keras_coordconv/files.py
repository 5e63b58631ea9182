"""Whole-or-nothing writing: what is written is there complete, or not at all.

A file or folder is made beside its place, in a folder `partial-*`, flushed to
disk, and renamed. A process that is killed leaves its `partial-*` folder; the
next one that writes to the same place removes it. One that is still being
written is locked, and left alone.
"""

import contextlib
import csv
import fcntl
import json
import os
import pathlib
import shutil
import tempfile

PARTIAL = "partial-"


@contextlib.contextmanager
def written_whole(path):
    """Makes a file or a folder, which appears when the block ends well.

    Args:
        path: String or path. A file that exists is replaced. Missing parent
            folders are made.

    Yields:
        `pathlib.Path` of the same name, not there yet: write a file to it, or
        make it a folder and fill that.

    Raises:
        OSError: if it cannot be written, or if `path` is a folder that exists
            and is not empty.

    Example:

    >>> with files.written_whole("run/best.keras") as path:
    ...     model.save(path)
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_killed(path.parent)
    partial, lock = _locked_folder(path.parent)
    try:
        yield partial / path.name
        _flush_all(partial / path.name)
        os.replace(partial / path.name, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def write_text(path, text):
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, content):
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_table(path, rows):
    """Writes dictionaries as CSV, with a column for each name in any of them.

    Args:
        path: String or path.
        rows: Iterable of dictionaries.
    """
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (
        written_whole(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def write_figure(path, figure):
    """Writes a figure of matplotlib in the format of the path's ending."""
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150)


def _locked_folder(parent):
    """A new folder, and the lock that keeps others from removing it."""
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=PARTIAL, dir=parent))
        # Another process may remove it before it is locked.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY)
            # Some network file systems have no locks: there, what killed
            # processes leave stays.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_killed(parent):
    for folder in parent.glob(f"{PARTIAL}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue  # Removed by another process.
        try:
            # The lock of a killed process has ended with it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # Being written.
        finally:
            os.close(lock)


def _flush_all(path):
    for root, _, names in os.walk(path):
        for name in names:
            _flush(os.path.join(root, name))
        _flush(root)
    if path.is_file():
        _flush(path)


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
