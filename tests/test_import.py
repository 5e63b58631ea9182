"""What `import keras_coordconv` brings along, and what not."""

import subprocess
import sys


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
