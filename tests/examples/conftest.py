"""How the tests start the scripts of examples/: as a user would."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"


class Scripts:
    """Starts scripts in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, name, *flags, **environment):
        """Process of a script, with the flags as on the command line."""
        return subprocess.Popen(
            [sys.executable, EXAMPLES / f"{name}.py", *map(str, flags)],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process, status=0):
        """What a script has printed, when it has ended with this status."""
        printed, _ = process.communicate(timeout=600)
        assert process.returncode == status, printed
        return printed

    def run(self, name, *flags, status=0, **environment):
        """`start`, then `finish`."""
        return self.finish(self.start(name, *flags, **environment), status)

    def without(self, package):
        """Environment for scripts in which a package is not installed."""
        # Python runs this file at its start, wherever it is.
        (self.folder / "sitecustomize.py").write_text(
            f"from without_package import hide\nhide({package!r})\n"
        )
        old = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = map(str, [self.folder, TESTS, *old])
        return {"PYTHONPATH": os.pathsep.join(paths)}

    def send(self, signal_number, path, *processes):
        """Sends a signal to processes as soon as there is such a path."""
        deadline = time.monotonic() + 500
        while not list(self.folder.glob(path)):
            for process in processes:
                assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for process in processes:
            process.send_signal(signal_number)

    def kill(self, path, *processes):
        self.send(signal.SIGKILL, path, *processes)
        for process in processes:
            process.communicate()

    def load_trained(self, folder):
        """Loads the model of a run, compiled, as a user does later on."""
        subprocess.run(
            [
                *(sys.executable, "-c"),
                "import sys, keras, keras_coordconv.experiments\n"
                "assert keras.saving.load_model(sys.argv[1]).optimizer",
                str(self.folder / folder / "model.keras"),
            ],
            check=True,
        )

    def kill_and_resume(self, name, *flags):
        """Kills a run after two epochs, resumes it, and runs another one whole.

        The history is that of a run that was not interrupted, row by row.

        Returns:
            Tuple of what the resumed run has printed, and its history.
        """
        process = self.start(name, *flags, "--workdir", "run")
        self.kill("run/checkpoint-2", process)
        printed = self.run(name, "--resume", "--workdir", "run")
        self.run(name, *flags, "--workdir", "whole")
        history = self.read_history("run")
        assert history == self.read_history("whole")
        return printed, history

    def read_history(self, folder):
        """Rows of a run's history, without the times."""
        path = self.folder / folder / "history.csv"
        rows = [row.split(",") for row in path.read_text().splitlines()]
        assert rows[0][:2] == ["epoch", "seconds"]
        return [row[:1] + row[2:] for row in rows]


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """`Scripts` in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Scripts(tmp_path)
