"""Trains on disks that are too small, and again with space; for test_faults.py.

    python fill_disks.py supervised FOLDER 20

Each disk is a tmpfs where one may be mounted, and else a limit on the size of
files. Each training is a fork of this process.
"""

import os
import pathlib
import resource
import subprocess
import sys

import kill_runs
import toys


def train(kind, workdir, log, file_size=None):
    """Exit status of a training, always with the same flags."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    status = 1
    try:
        toys.KINDS[kind](["--resume", "--workdir", str(workdir)])
        status = 0
    except SystemExit as error:
        status = error.code
    finally:
        os._exit(status)


def mount(folder, *options):
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder]
    return not subprocess.run(
        command, check=False, stderr=subprocess.DEVNULL
    ).returncode


def check_one(kind, folder, size, expected):
    """Whether the disk was full. The limit on files is a third of its size."""
    disk, log = folder / f"disk-{size}", folder / f"{size}.log"
    disk.mkdir()
    is_mounted = mount(disk, f"size={size}")
    workdir = disk / "run"
    try:
        status = train(kind, workdir, log, None if is_mounted else size // 3)
        if status:
            assert status == 2, (size, status, log.read_text())
            printed = log.read_text()
            line = printed.splitlines()[-1]
            assert printed.count("error: ") == line.count("error: ") == 1
            assert "Traceback" not in printed, printed
            reason = "No space left" if is_mounted else "File too large"
            assert f"Cannot access {workdir}/" in line, line
            assert reason in line, line
            if (workdir / "args.json").exists():
                assert f"--resume --workdir {workdir}" in line, line
            if is_mounted:
                assert mount(disk, "remount", "size=100m")
            assert train(kind, workdir, log) == 0, log.read_text()
        found = kill_runs.read_all(workdir)
        assert found["history.csv"] == expected, size
        return bool(status)
    finally:
        if is_mounted:
            subprocess.run(["umount", disk], check=True)


def main(kind, parent, count):
    parent = pathlib.Path(parent).absolute()
    whole = parent / "whole"
    assert train(kind, whole, parent / "whole.log") == 0
    expected = kill_runs.read_all(whole)["history.csv"]
    sizes = [path.stat().st_size for path in whole.rglob("*")]
    # The last checkpoint and the next one are there at the same time.
    count = int(count)
    pages = 2 * sum(sizes) // 4096
    full = [
        check_one(kind, parent, 4096 * (1 + pages * n // count), expected)
        for n in range(count)
    ]
    print(f"{count} disks, {sum(full)} of them full, all resumed")


if __name__ == "__main__":
    main(*sys.argv[1:])
