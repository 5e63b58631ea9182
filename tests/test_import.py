"""What `import keras_coordconv` brings along, and what not."""

import pathlib
import subprocess
import sys

import pytest


def run(program, *arguments):
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)


@pytest.mark.parametrize(
    "package", ["keras_coordconv", "keras_coordconv.experiments"]
)
def test_loads_nothing_that_keras_does_not_load(package):
    run(
        "import importlib, sys, keras\n"
        "packages = lambda: {name.split('.')[0] for name in sys.modules}\n"
        "before = packages()\n"
        "importlib.import_module(sys.argv[1])\n"
        "added = packages() - before\n"
        "assert added == {'keras_coordconv'}, added",
        package,
    )


def test_experiments_register_every_class_of_theirs():
    run(
        "import pathlib, sys\n"
        "from keras_coordconv import experiments\n"
        "folder = pathlib.Path(experiments.__file__).parent\n"
        "for path in folder.rglob('*.py'):\n"
        "    if 'register_keras_serializable(' in path.read_text():\n"
        "        parts = path.relative_to(folder).with_suffix('').parts\n"
        "        name = '.'.join([experiments.__name__, *parts])\n"
        "        assert name in sys.modules, name\n"
    )


@pytest.mark.tensorflow_backend
def test_data_sets_load_tfds_only_where_it_is_asked_for():
    run(
        "import pkgutil, sys\n"
        "from keras_coordconv.experiments import datasets\n"
        "for module in pkgutil.iter_modules(datasets.__path__):\n"
        "    if not module.name.endswith('_builder'):\n"
        "        __import__(f'{datasets.__name__}.{module.name}')\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
    )


def test_without_a_backend_one_line_says_what_to_install():
    program = (
        "import os, sys\n"
        "os.environ['KERAS_BACKEND'] = 'tensorflow'\n"
        "from without_package import hide\n"
        "hide('tensorflow')\n"
        "import keras_coordconv\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "ModuleNotFoundError: Keras's backend tensorflow is not installed. "
        "Run: pip install tensorflow"
    )
