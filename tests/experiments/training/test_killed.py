"""Runs of all kinds that are killed, over and over, and resumed."""

import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tensorflow_backend

SCRIPT = pathlib.Path(__file__).with_name("kill_runs.py")


@pytest.mark.parametrize(
    "kind",
    [
        "supervised",
        pytest.param("gan", marks=pytest.mark.slow),
        pytest.param("a2c", marks=pytest.mark.slow),
    ],
)
def test_killed_run_equals_an_uninterrupted_one(tmp_path, kind):
    """Nothing is half-written, and history and weights are the same."""
    process = subprocess.run(
        [sys.executable, SCRIPT, kind, tmp_path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert "with 15 kills" in process.stdout
