"""Writes are atomic, even if the writing process is killed."""

import errno
import json
import os
import pathlib
import random
import stat
import subprocess
import sys
import time

import pytest

from keras_coordconv import _files

# Imports the file alone, without the package and TensorFlow.
WRITER = f"""
import pathlib, sys, time
sys.path.insert(0, {str(pathlib.Path(_files.__file__).parent)!r})
import _files
path = pathlib.Path(sys.argv[1])
print("ready", flush=True)
"""
WRITE_FILES = """
for number in range(10**6):
    with _files.atomic_write(path) as partial:
        with partial.open("w") as file:
            for _ in range(100):
                file.write(f"{number}\\n")
                file.flush()
"""
WRITE_FOLDERS = """
for number in range(10**6):
    with _files.atomic_write(path / str(number)) as partial:
        for name in "abcdefgh":
            (partial / name).mkdir(parents=True)
            (partial / name / "file").write_text("complete")
"""
WAIT = """
with _files.atomic_write(path) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""

# Kills a write at each line in turn, each time in a new folder that already has
# the scratch folder of a killed process, and then writes again.
KILL_AT_EACH_LINE = """
import os, shutil, signal

def write(path, as_folder):
    with _files.atomic_write(path) as payload:
        if as_folder:
            (payload / "below").mkdir(parents=True)
            payload = payload / "below" / "file"
        payload.write_text("new")

def fork(function, *arguments):
    process = os.fork()
    if not process:
        function(*arguments)
        os._exit(0)
    return os.waitpid(process, 0)[1]

def write_and_kill(path, as_folder, line):
    lines = 0
    def trace(frame, event, argument):
        nonlocal lines
        if frame.f_code.co_filename not in (_files.__file__, shutil.__file__):
            return None
        if event == "line":
            lines += 1
            if lines == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)
    write(path, as_folder)

def killed_while_writing(path):
    with _files.atomic_write(path) as payload:
        payload.mkdir()
        (payload / "file").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

def everything_below(folder):
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_text()
        for path in sorted(folder.rglob("*"))
    }

for as_folder in (False, True):
    line, status = 0, signal.SIGKILL
    while status:
        line += 1
        folder = path / f"{as_folder}-{line}"
        foreign = folder / f"{_files.PREFIX}{line:032x}"
        foreign.mkdir(parents=True)
        (foreign / "thesis.txt").write_text("thesis")
        before = everything_below(folder)
        written = {"new": False, "new/below": False, "new/below/file": "new"}
        if not as_folder:
            (folder / "new").write_text("old")
            written = {"new": "new"}
        assert fork(killed_while_writing, folder / "killed") == signal.SIGKILL
        scratch = set(os.listdir(folder)) - {"new", foreign.name}
        assert len(scratch) == 1, scratch
        status = fork(write_and_kill, folder / "new", as_folder, line)
        assert status in (0, signal.SIGKILL), status
        found = everything_below(folder)
        if found.get("new") != "old" and "new" in found:
            assert found.items() >= written.items(), found
        _files.write_text(folder / "last", "last")
        found = everything_below(folder)
        assert found.pop("last") == "last"
        if "new" in found and found["new"] != "old":
            before |= written
        elif not as_folder:
            before["new"] = "old"
        assert found == before, (line, found)
        shutil.rmtree(folder)
    print(line - 1, flush=True)
"""


def start(program, path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER + program, path], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    return process


def kill(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_files_of_killed_writers_are_complete(tmp_path):
    path = tmp_path / "run" / "numbers"
    moments = random.Random(0)
    for _ in range(10):
        process = start(WRITE_FILES, path)
        while not path.exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        kill(process)
        lines = path.read_text().splitlines()
        assert len(lines) == 100 and len(set(lines)) == 1
        assert len(list(path.parent.iterdir())) <= 2
    _files.write_text(path, "last")
    assert [file.name for file in path.parent.iterdir()] == ["numbers"]


def test_folders_of_killed_writers_are_complete(tmp_path):
    moments = random.Random(0)
    for turn in range(10):
        folder = tmp_path / str(turn)
        process = start(WRITE_FOLDERS, folder)
        while not folder.exists():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.1))
        kill(process)
        for path in folder.iterdir():
            if path.name.isdecimal():
                written = [file.read_text() for file in path.glob("*/file")]
                assert written == ["complete"] * 8
        _files.write_text(folder / "last", "")
        assert not list(folder.glob(".keras_coordconv-*"))


def test_old_file_survives_a_killed_write(tmp_path):
    path = tmp_path / "file"
    _files.write_text(path, "old")
    process = start(WAIT, path)
    process.stdout.readline()
    # Another writer does not touch a scratch folder in use.
    _files.write_text(tmp_path / "other", "")
    (partial,) = tmp_path.glob(".keras_coordconv-*/payload/file")
    assert partial.read_text() == "half" and path.read_text() == "old"
    kill(process)
    assert partial.exists() and path.read_text() == "old"
    _files.write_text(path, "new")
    assert path.read_text() == "new"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "other"]


def test_write_killed_at_each_line_and_repeated(tmp_path):
    """The file is old or new, never partial, and no other file is removed."""
    process = start(KILL_AT_EACH_LINE, tmp_path)
    printed, _ = process.communicate()
    assert process.returncode == 0
    kills = [int(line) for line in printed.split()]
    assert len(kills) == 2 and min(kills) > 100
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "marker", [None, b"", _files.MARK[:9], _files.MARK[:-1], _files.MARK + b"x"]
)
def test_folder_without_a_complete_marker_is_kept(tmp_path, marker):
    scratch = tmp_path / f"{_files.PREFIX}{0:032x}"
    (scratch / "payload").mkdir(parents=True)
    (scratch / "payload" / "thesis.txt").write_text("thesis")
    if marker is not None:
        (scratch / scratch.name).write_bytes(marker)
    _files.write_text(tmp_path / "file", "complete")
    assert (scratch / "payload" / "thesis.txt").read_text() == "thesis"
    assert marker is None or (scratch / scratch.name).read_bytes() == marker
    # A foreign file next to a complete marker is kept, too.
    (scratch / scratch.name).write_bytes(_files.MARK)
    (scratch / "mine").write_text("mine")
    _files.write_text(tmp_path / "file", "complete")
    assert [path.name for path in scratch.iterdir()] == ["mine"]


def test_concurrent_writers_in_one_folder(tmp_path):
    """No writer removes the scratch folder of another running writer."""
    (tmp_path / "partial-mine").write_text("mine")
    program = """
for number in range(300):
    _files.write_text(path / f"{sys.argv[2]}-{number}", sys.argv[2])
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER + program, tmp_path, n])
        for n in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    names = {f"{name}-{number}" for name in "abc" for number in range(300)}
    assert {path.name for path in tmp_path.iterdir()} == {
        *names,
        "partial-mine",
    }
    assert all((tmp_path / name).read_text() == name[0] for name in names)


def test_concurrent_writers_of_one_file(tmp_path):
    path = tmp_path / "numbers"
    processes = [start(WRITE_FILES, path) for _ in range(4)]
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if path.exists():
            assert len(set(path.read_text().splitlines())) == 1
    assert [process.poll() for process in processes] == [None] * 4
    for process in processes:
        kill(process)


def test_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    _files.write_text(path, "old")
    with (
        pytest.raises(KeyboardInterrupt),
        _files.atomic_write(path) as partial,
    ):
        partial.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), _files.atomic_write(path):
        pass  # Nothing was written.
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_with_files_is_not_replaced(tmp_path):
    for _ in range(2):
        (tmp_path / "1").mkdir(exist_ok=True)
        (tmp_path / "1" / "file").write_text("old")
        with (
            pytest.raises(FileExistsError) as raised,
            _files.atomic_write(tmp_path / "1") as partial,
        ):
            partial.mkdir()
            (partial / "file").write_text("new")
        assert raised.value.filename == str(tmp_path / "1")
    assert (tmp_path / "1" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def fail_to_flush(monkeypatch, number, fails):
    """Simulate a file system whose `fsync` fails on files or folders."""
    flush = os.fsync

    def fsync(descriptor):
        if fails(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_file_system_that_cannot_flush_folders(tmp_path, monkeypatch):
    fail_to_flush(monkeypatch, errno.EINVAL, stat.S_ISDIR)
    _files.write_text(tmp_path / "file", "complete")
    with _files.atomic_write(tmp_path / "folder") as payload:
        payload.mkdir()
        (payload / "file").write_text("complete")
    assert (tmp_path / "file").read_text() == "complete"
    assert (tmp_path / "folder" / "file").read_text() == "complete"


@pytest.mark.parametrize(
    ("number", "fails"),
    [(errno.EIO, stat.S_ISDIR), (errno.EINVAL, stat.S_ISREG)],
)
def test_unflushed_folder_is_not_published(
    tmp_path, monkeypatch, number, fails
):
    fail_to_flush(monkeypatch, number, fails)
    with (
        pytest.raises(OSError, match=os.strerror(number)),
        _files.atomic_write(tmp_path / "folder") as payload,
    ):
        payload.mkdir()
        (payload / "file").write_text("complete")
    assert not list(tmp_path.iterdir())


def test_file_system_without_locks(tmp_path, monkeypatch):
    """Scratch folders are kept: their process may still be alive."""

    def flock(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_files.fcntl, "flock", flock)
    with _files.atomic_write(tmp_path / "first") as payload:
        _files.write_text(tmp_path / "second", "complete")
        payload.write_text("complete")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first": "complete",
        "second": "complete",
    }


def test_same_content_and_mode_as_a_plain_write(tmp_path):
    (tmp_path / "plain").write_text("ä")
    _files.write_text(tmp_path / "atomic", "ä")
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    assert atomic.read_bytes() == plain.read_bytes()
    # Readable by others as far as the umask allows.
    assert os.stat(atomic).st_mode == os.stat(plain).st_mode


def test_json_table_and_figure(tmp_path):
    from matplotlib.figure import Figure

    _files.write_json(tmp_path / "metrics.json", {"loss": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 0.5}
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "iou": 1}]
    _files.write_table(tmp_path / "history.csv", rows)
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "epoch,loss,iou",
        "1,0.5,",
        "2,0.25,1",
    ]
    _files.write_figure(tmp_path / "figures" / "empty.png", Figure())
    png = (tmp_path / "figures" / "empty.png").read_bytes()
    assert png.startswith(b"\x89PNG") and png.endswith(b"IEND\xaeB`\x82")


LOCK = """
try:
    _files.lock_folder(path)
    print("locked", flush=True)
    time.sleep(600)
except BlockingIOError:
    print("taken", flush=True)
"""


def lock(path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER + LOCK, path],
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    return process, process.stdout.readline().strip()


def test_a_lock_ends_with_its_process(tmp_path):
    first, is_locked = lock(tmp_path)
    assert is_locked == "locked"
    with pytest.raises(BlockingIOError):
        _files.lock_folder(tmp_path)
    (tmp_path / "other").mkdir()
    _files.unlock_folder(_files.lock_folder(tmp_path / "other"))
    kill(first)
    folder = _files.lock_folder(tmp_path)
    assert _files.lock_folder(tmp_path) == folder
    second, is_locked = lock(tmp_path)
    kill(second)
    assert is_locked == "taken"
    _files.unlock_folder(folder)
    _files.unlock_folder(folder)
    third, is_locked = lock(tmp_path)
    kill(third)
    assert is_locked == "locked"


def test_a_folder_that_was_moved_is_another_one(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    folder = _files.lock_folder(path)
    assert _files.is_folder(path, folder)
    path.rename(tmp_path / "moved")
    assert not _files.is_folder(path, folder)
    path.mkdir()
    assert not _files.is_folder(path, folder)
    assert _files.is_folder(tmp_path / "moved", folder)
    _files.unlock_folder(folder)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("name", [None, "payload"])
def test_an_error_has_the_path_of_the_file(tmp_path, number, name):
    with (
        pytest.raises(OSError) as error,
        _files.atomic_write(tmp_path / "file") as payload,
    ):
        payload.write_text("half")
        raise OSError(number, os.strerror(number), name and str(payload))
    assert error.value.filename == str(tmp_path / "file")
    assert error.value.errno == number
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_keeps_its_path(tmp_path):
    with (
        pytest.raises(FileNotFoundError) as error,
        _files.atomic_write(tmp_path / "file"),
    ):
        (tmp_path / "other").read_text()
    assert error.value.filename == str(tmp_path / "other")
