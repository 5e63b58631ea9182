"""What is written is whole or absent, whenever the writer is killed."""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

from keras_coordconv import files

# Without the package around it, and its TensorFlow.
WRITER = f"""
import pathlib, sys, time
sys.path.insert(0, {str(pathlib.Path(files.__file__).parent)!r})
import files
path = pathlib.Path(sys.argv[1])
print("ready", flush=True)
"""
WRITE_FILES = """
for number in range(10**6):
    with files.written_whole(path) as partial:
        with partial.open("w") as file:
            for _ in range(100):
                file.write(f"{number}\\n")
                file.flush()
"""
WRITE_FOLDERS = """
for number in range(10**6):
    with files.written_whole(path / str(number)) as partial:
        for name in "abcdefgh":
            (partial / name).mkdir(parents=True)
            (partial / name / "file").write_text("whole")
"""
WAIT = """
with files.written_whole(path) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
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


def test_files_of_killed_writers_are_whole(tmp_path):
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
    files.write_text(path, "last")
    assert [file.name for file in path.parent.iterdir()] == ["numbers"]


def test_folders_of_killed_writers_are_whole(tmp_path):
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
                assert written == ["whole"] * 8
        files.write_text(folder / "last", "")
        assert not list(folder.glob("partial-*"))


def test_killed_in_mid_write_the_old_file_stays(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")
    process = start(WAIT, path)
    process.stdout.readline()
    # Another writer leaves alone what is being written.
    files.write_text(tmp_path / "other", "")
    (partial,) = tmp_path.glob("partial-*/file")
    assert partial.read_text() == "half" and path.read_text() == "old"
    kill(process)
    assert partial.exists() and path.read_text() == "old"
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "other"]


def test_writers_of_one_file_at_the_same_time(tmp_path):
    path = tmp_path / "numbers"
    processes = [start(WRITE_FILES, path) for _ in range(4)]
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if path.exists():
            assert len(set(path.read_text().splitlines())) == 1
    assert [process.poll() for process in processes] == [None] * 4
    for process in processes:
        kill(process)


def test_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), files.written_whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError), files.written_whole(path):
        pass  # Nothing was written.
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_folder_is_not_replaced(tmp_path):
    for _ in range(2):
        (tmp_path / "1").mkdir(exist_ok=True)
        (tmp_path / "1" / "file").write_text("old")
        with (
            pytest.raises(OSError, match="not empty"),
            files.written_whole(tmp_path / "1") as partial,
        ):
            partial.mkdir()
            (partial / "file").write_text("new")
    assert (tmp_path / "1" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_written_as_without_it(tmp_path):
    (tmp_path / "plain").write_text("ä")
    files.write_text(tmp_path / "whole", "ä")
    plain, whole = tmp_path / "plain", tmp_path / "whole"
    assert whole.read_bytes() == plain.read_bytes()
    # Others may read it, as far as the user lets them.
    assert os.stat(whole).st_mode == os.stat(plain).st_mode


def test_json_table_and_figure(tmp_path):
    from matplotlib.figure import Figure

    files.write_json(tmp_path / "metrics.json", {"loss": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 0.5}
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "iou": 1}]
    files.write_table(tmp_path / "history.csv", rows)
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "epoch,loss,iou",
        "1,0.5,",
        "2,0.25,1",
    ]
    files.write_figure(tmp_path / "figures" / "empty.png", Figure())
    png = (tmp_path / "figures" / "empty.png").read_bytes()
    assert png.startswith(b"\x89PNG") and png.endswith(b"IEND\xaeB`\x82")
