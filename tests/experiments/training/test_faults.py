"""Runs with damaged files, on full disks and stopped, by the scripts here."""

import pathlib
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.tensorflow_backend, pytest.mark.slow]


@pytest.mark.parametrize(
    ("command", "last_line"),
    [
        ("flip_bits.py . 24", "24 flips, "),
        ("fill_disks.py supervised . 3", "3 disks, "),
        ("stop_runs.py a2c . 2", "2 SIGTERMs, nothing left"),
        ("stop_runs.py sweep . 3", "3 SIGTERMs, nothing left"),
        ("stop_runs.py export . 2", "2 SIGTERMs, nothing left"),
    ],
)
def test_faults(tmp_path, command, last_line):
    script, *arguments = command.split()
    process = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name(script), *arguments],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1].startswith(last_line)
