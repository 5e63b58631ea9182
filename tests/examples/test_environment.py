"""The scripts and the tests run TensorFlow with the same settings."""

import environment

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tensorflow_backend

ROOT = pathlib.Path(__file__).parents[2]


def run_python(code, *shell):
    """What a new Python prints that has none of the settings yet."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in environment.SETTINGS
    }
    paths = (ROOT, ROOT / "examples", ROOT / "tests")
    variables["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    process = subprocess.run(
        [*shell, sys.executable, "-c", code],
        env=variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(process.stdout)


def test_scripts_and_tests_have_the_same_environment():
    """Whatever the processor's default is."""
    print_variables = "import json, os; print(json.dumps(dict(os.environ)))"
    script, test = (
        run_python(f"import {module}, keras; {print_variables}")
        for module in ("startup", "conftest")
    )
    assert script == test
    assert script["TF_ENABLE_ONEDNN_OPTS"] == "1"


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_processes_of_the_tests_hear_signals(name):
    """Also where the shell that started pytest ignores them."""
    start_child = (
        "import {}, subprocess, sys; "
        "print(int(subprocess.check_output([sys.executable, '-c', "
        f"'import signal; print(int(signal.getsignal(signal.{name}) != "
        "signal.SIG_IGN))'])))"
    )
    shell = ("sh", "-c", f'trap "" {name[3:]}; exec "$@"', "sh")
    assert run_python(start_child.format("json"), *shell) == 0
    assert run_python(start_child.format("conftest"), *shell) == 1
