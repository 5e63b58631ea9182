"""Reads the results of runs."""

import pathlib

from keras_coordconv.experiments.training import run_files


def read_flags(folder):
    """Reads the flags of a run, a dictionary of values by name.

    Raises:
        ValueError: if the folder does not contain a run.
    """
    flags = _read_args(folder)
    flags.pop("environment", None)
    return flags


def read_environment(folder):
    """Reads the `environment` in which a run was started.

    It is empty for runs of earlier versions, which did not record it.

    Raises:
        ValueError: if the folder does not contain a run.
    """
    return _read_args(folder).get("environment", {})


def read_history(folder):
    """Reads the history of a run, a list of dictionaries, one per epoch.

    A dictionary has only the values that were computed in its epoch.

    Raises:
        ValueError: if `history.csv` is damaged or does not match the run's
            checkpoint.
    """
    rows = run_files.read_history(folder)
    run_files.epochs_with_checkpoint(pathlib.Path(folder), rows)
    return rows


def read_run(folder):
    """Reads a finished run, a dictionary of `args`, `metrics` and `history`.

    Raises:
        ValueError: if the folder does not contain a finished run.
    """
    return {
        "metrics": read_metrics(folder),
        "args": read_flags(folder),
        "history": read_history(folder),
    }


def read_metrics(folder):
    """Reads the metrics of a finished run, a dictionary of numbers by name.

    Raises:
        ValueError: if the folder does not contain a finished run.
    """
    path = pathlib.Path(folder, "metrics.json")
    if not path.exists():
        raise ValueError(f"No finished run in {folder}: it has no metrics.json")
    return run_files.read_json(path)


def _read_args(folder):
    path = pathlib.Path(folder, "args.json")
    if not path.exists():
        raise ValueError(f"No run in {folder}: it has no args.json")
    return run_files.read_json(path)
