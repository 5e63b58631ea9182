"""The ImageNet script under `mpirun` and `srun`, without a flag for them.

`pytest -m long tests/examples/test_launchers.py` with JAX installed.
"""

import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.tensorflow_backend, pytest.mark.long]

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/imagenet_resnet50.py"
LAUNCHERS = {
    "mpirun": ("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"),
    "srun": ("srun", "--kill-on-bad-exit", "--overcommit", "-n", "2"),
}
RANKS = ("OMPI_COMM_WORLD_RANK=1", "SLURM_PROCID=1")


@pytest.fixture(params=LAUNCHERS)
def launcher(request):
    pytest.importorskip("jax")
    command = LAUNCHERS[request.param]
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    trial = subprocess.run(
        [*command, "true"], capture_output=True, text=True, timeout=60
    )
    if trial.returncode:
        pytest.skip(f"{command[0]} does not work: {trial.stderr}")
    return command


def start(tmp_path, workdir, *command):
    return subprocess.Popen(
        [
            *(*command, sys.executable, SCRIPT, "--stand-in"),
            *("--limit-examples", "32", "--image-size", "32"),
            *("--batch-size", "8", "--warmup-epochs", "0", "--epochs", "4"),
            *("--resume", "--workdir", tmp_path / workdir),
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments):
    process = start(*arguments)
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed
    return printed


def history(folder):
    with open(folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            name: float(value)
            for name, value in row.items()
            if "second" not in name
        }
        for row in rows
    ]


def second_process(workdir):
    """Returns the process id of the process with rank 1 of a run."""
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().split("\0")
            variables = (folder / "environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        if (
            command[0] == sys.executable
            and str(workdir) in command
            and any(rank in variables for rank in RANKS)
        ):
            return int(folder.name)
    raise AssertionError("not found")


def test_launcher(tmp_path, launcher):
    run(tmp_path, "one")
    printed = run(tmp_path, "two", *launcher)
    assert ", 2 devices" in printed
    expected, found = history(tmp_path / "one"), history(tmp_path / "two")
    assert len(found) == len(expected) == 4
    for row, right in zip(found, expected, strict=True):
        assert row == pytest.approx(right, rel=1e-4, abs=1e-4)

    process = start(tmp_path, "killed", *launcher)
    while not (tmp_path / "killed/checkpoint-2").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.kill(second_process(tmp_path / "killed"), signal.SIGKILL)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode, printed
    assert "Traceback" not in printed, printed
    print(printed[-2000:])
    printed = run(tmp_path, "killed", *launcher)
    # At most one epoch is lost.
    assert "Epoch 1/4" not in printed and "Epoch 2/4" not in printed
    for row, right in zip(history(tmp_path / "killed"), expected, strict=True):
        assert row == pytest.approx(right, rel=1e-4, abs=1e-4)
