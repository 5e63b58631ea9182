"""What `import keras_coordconv` brings along, and what not."""

import subprocess
import sys

import pytest


def test_layers_load_nothing_that_keras_does_not_load():
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, keras\n"
            "packages = lambda: {name.split('.')[0] for name in sys.modules}\n"
            "before = packages()\n"
            "import keras_coordconv\n"
            "added = packages() - before\n"
            "assert added == {'keras_coordconv'}, added",
        ],
        check=True,
    )


@pytest.mark.tensorflow_backend
def test_data_sets_load_tfds_only_where_it_is_asked_for():
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import pkgutil, sys\n"
            "from keras_coordconv.experiments import datasets\n"
            "for module in pkgutil.iter_modules(datasets.__path__):\n"
            "    if not module.name.endswith('_builder'):\n"
            "        __import__(f'{datasets.__name__}.{module.name}')\n"
            "assert 'tensorflow_datasets' not in sys.modules\n",
        ],
        check=True,
    )
