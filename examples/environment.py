"""Environment variables that TensorFlow and matplotlib read once, on import.

The scripts import this module first, through `startup`, and so do the tests:
the same command with the same seed gives the same numbers in a process of its
own and in one of pytest's. A variable that is already set is kept.
"""

import os

SETTINGS = {
    # TensorFlow's errors are exceptions, too.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN's kernels are faster, also on processors where TensorFlow leaves
    # them off by default. They round differently.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # Figures are written to files; no window is opened.
    "MPLBACKEND": "agg",
}

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
