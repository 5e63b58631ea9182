"""Training runs: flags, run folders, seeds and callbacks."""
