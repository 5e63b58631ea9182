"""Atomic writes: a file or folder appears complete or not at all.

It is written in a scratch folder next to its destination, flushed to disk, and
renamed:

    .keras_coordconv-<32 hexadecimal digits>/
        .keras_coordconv-<the same digits>      the marker
        payload/<name>

A killed process leaves its scratch folder behind; the next write to the same
parent folder removes it. The folder's name and its marker prove that this
module created it. No other file is ever removed. The marker is locked while
its process is alive, and locked scratch folders are left alone.
"""

import contextlib
import csv
import errno
import fcntl
import json
import os
import pathlib
import shutil
import uuid

PREFIX = ".keras_coordconv-"
MARK = b"""\
A scratch folder of keras_coordconv. What is written to payload/ is moved to the
folder above when it is complete. If its process was killed, the next write to
the folder above removes this folder.
"""

# Open file descriptors of locked folders.
_locked: dict[pathlib.Path, int] = {}


@contextlib.contextmanager
def atomic_write(path):
    """Write a file or a folder that appears only if the block succeeds.

    Args:
        path: String or path. An existing file is replaced. Missing parent
            folders are created.

    Yields:
        `pathlib.Path` with the same name that does not exist yet. Create a file
        or a folder there.

    Raises:
        FileExistsError: if `path` is an existing folder that is not empty.
        OSError: if `path` cannot be written.

    Example:

    >>> with _files.atomic_write("run/model.keras") as path:
    ...     model.save(path)
    """
    with scratch_path(path) as payload:
        yield payload
        publish(payload, path)


@contextlib.contextmanager
def scratch_path(path):
    """Yields a path in a scratch folder, removed afterwards: see `publish`.

    Args:
        path: String or path. The scratch folder is next to it, and errors of
            the file system name it. Missing parent folders are created.

    Yields:
        `pathlib.Path` with the same name that does not exist yet.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_killed(path.parent)
    scratch, marker = _make_scratch(path.parent)
    with marker:
        try:
            marker.write(MARK)
            payload = scratch / "payload" / path.name
            payload.parent.mkdir()
            yield payload
        except OSError as error:
            # The error of a full disk names no file, and a user does not know
            # the scratch folder.
            if error.filename is None or str(scratch) in str(error.filename):
                reason = error.strerror or str(error)
                raise OSError(
                    error.errno or errno.EIO, reason, str(path)
                ) from error
            raise
        finally:
            _remove(scratch)


def publish(payload, path):
    """Moves a complete file or folder from its scratch folder to a path.

    Raises:
        FileExistsError: if `path` is an existing folder that is not empty.
        OSError: if `path` cannot be written.
    """
    _flush_all(payload)
    try:
        os.replace(payload, path)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            reason = os.strerror(errno.EEXIST)
            raise FileExistsError(errno.EEXIST, reason, str(path)) from error
        raise
    _flush(os.path.dirname(path) or ".")


def lock_folder(path):
    """Locks a folder until it is unlocked or this process ends.

    Locking it again in this process has no effect. Some network file systems do
    not support locks: there, folders are never locked.

    Args:
        path: String or path of a folder.

    Returns:
        The folder's identity, for `unlock_folder` and `is_folder`.

    Raises:
        BlockingIOError: if another process has locked the folder.
    """
    descriptor = os.open(path, os.O_RDONLY)
    folder = _identity(os.fstat(descriptor))
    if folder in _locked:
        os.close(descriptor)
        return folder
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        pass
    _locked[folder] = descriptor
    return folder


def unlock_folder(folder):
    """Unlocks a folder, by its identity from `lock_folder`."""
    descriptor = _locked.pop(folder, None)
    if descriptor is not None:
        os.close(descriptor)


def is_folder(path, folder):
    """Returns whether a path is the folder with this identity."""
    try:
        return _identity(os.stat(path)) == folder
    except OSError:
        return False


def _identity(status):
    return status.st_dev, status.st_ino


def write_text(path, text):
    with atomic_write(path) as payload:
        payload.write_text(text, encoding="utf-8")


def write_json(path, content):
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_table(path, rows):
    """Write dictionaries as CSV, with one column per key.

    Args:
        path: String or path.
        rows: Iterable of dictionaries.
    """
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (
        atomic_write(path) as payload,
        payload.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def write_figure(path, figure):
    """Write a matplotlib figure in the format given by the file extension."""
    with atomic_write(path) as payload:
        # "tight": nothing that is drawn lies outside of the picture.
        figure.savefig(payload, dpi=150, bbox_inches="tight")


def _make_scratch(parent):
    """Create a scratch folder and its empty, locked marker."""
    while True:
        scratch = parent / f"{PREFIX}{uuid.uuid4().hex}"
        scratch.mkdir(mode=0o700)
        path = scratch / scratch.name
        # Another process may remove the folder before the marker is locked.
        with contextlib.suppress(FileNotFoundError):
            marker = path.open("xb", buffering=0)
            # Some network file systems do not support locks: there, scratch
            # folders of killed processes are not removed.
            with contextlib.suppress(OSError):
                fcntl.flock(marker, fcntl.LOCK_EX)
            if path.exists():
                return scratch, marker
            marker.close()


def _remove_killed(parent):
    """Remove the scratch folders of killed processes."""
    for scratch in parent.glob(PREFIX + 32 * "[0-9a-f]"):
        # In use, or being removed by another process.
        with contextlib.suppress(OSError):
            _remove_if_killed(scratch)


def _remove_if_killed(scratch):
    try:
        marker = (scratch / scratch.name).open("r+b", buffering=0)
    except FileNotFoundError:
        # Killed before the marker was created. `rmdir` keeps a folder that is
        # not empty.
        scratch.rmdir()
        return
    with marker:
        # A killed process no longer holds its lock.
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = marker.read(len(MARK) + 1)
        # The process may have been killed while it wrote the marker.
        partial = (
            MARK.startswith(content) and not (scratch / "payload").exists()
        )
        if content == MARK or partial:
            _remove(scratch)


def _remove(scratch):
    """Remove a scratch folder, its marker last."""
    with contextlib.suppress(OSError):
        payload = scratch / "payload"
        if payload.exists():
            shutil.rmtree(payload)
        (scratch / scratch.name).unlink()
        scratch.rmdir()


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
    except OSError as error:
        # Some network file systems cannot flush folders.
        unsupported = error.errno in (errno.EINVAL, errno.ENOTSUP)
        if not (unsupported and os.path.isdir(path)):
            raise
    finally:
        os.close(descriptor)
