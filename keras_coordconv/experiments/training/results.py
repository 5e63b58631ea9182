"""Reads what a run has written."""

import pathlib

from keras_coordconv.experiments.training import run_files


def read_flags(folder):
    """Flags of the run in a folder, a dictionary of values by name.

    Raises:
        ValueError: if there is no run in the folder.
    """
    flags = _read_args(folder)
    flags.pop("environment", None)
    return flags


def read_environment(folder):
    """The `environment` in which the run in a folder was started.

    It is empty where the run does not say.

    Raises:
        ValueError: if there is no run in the folder.
    """
    return _read_args(folder).get("environment", {})


def read_history(folder):
    """History of the run in a folder, a list of dictionaries, one per epoch.

    What was not computed in an epoch is not in its dictionary.

    Raises:
        ValueError: if `history.csv` is damaged or does not match the run's
            checkpoint.
    """
    rows = run_files.read_table(pathlib.Path(folder, "history.csv"))
    run_files.epochs_with_checkpoint(pathlib.Path(folder), rows)
    return rows


def read_run(folder):
    """Dictionary of the `args`, `metrics` and `history` of a finished run.

    Raises:
        ValueError: if there is no finished run in the folder.
    """
    return {
        "metrics": read_metrics(folder),
        "args": read_flags(folder),
        "history": read_history(folder),
    }


def read_metrics(folder):
    """Dictionary of the metrics of a finished run.

    Raises:
        ValueError: if there is no finished run in the folder.
    """
    path = pathlib.Path(folder, "metrics.json")
    if not path.exists():
        raise ValueError(
            "A run must be finished before it is read. "
            f"Received: {folder}, which has no metrics.json."
        )
    return run_files.read_json(path)


def _read_args(folder):
    path = pathlib.Path(folder, "args.json")
    if not path.exists():
        raise ValueError(
            "The folder of a run must have an args.json. "
            f"Received: {folder}, which has none."
        )
    return run_files.read_json(path)
