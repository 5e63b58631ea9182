"""Environment variables that TensorFlow and matplotlib read once, on import.

The scripts and the tests import this module first, the scripts through
`startup`. So the same command with the same seed gives the same numbers in its
own process and in pytest's. Variables that are already set are kept.
"""

import os

SETTINGS = {
    # TensorFlow's errors are raised as exceptions anyway.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN's kernels are faster, even on CPUs where TensorFlow turns them off
    # by default. They round differently.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Write figures to files; do not open windows.
    "MPLBACKEND": "agg",
}

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
