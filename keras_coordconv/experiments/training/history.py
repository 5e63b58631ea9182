"""What runs have written, and what the history of a run says."""

import os
import pathlib

import keras
import numpy as np

from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.run_files import read_table

# Flags that do not change the training: they may differ on `--resume`.
FREE_FLAGS = (
    "resume",
    "workdir",
    "export_dir",
    "tensorboard",
    "data_dir",
    "devices",
    "coordinator",
    "processes",
    "process_id",
)


def training_flags(flags):
    """The flags that change the training, without `FREE_FLAGS`."""
    return {
        name: value for name, value in flags.items() if name not in FREE_FLAGS
    }


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


def environment():
    """Settings beside the flags that change the last digits of a training.

    Returns:
        Dictionary of the `backend` and, on TensorFlow, `onednn`: whether it was
        turned on or off, or `None` for the processor's default.
    """
    settings = {"backend": keras.backend.backend()}
    if settings["backend"] == "tensorflow":
        turned = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
        settings["onednn"] = {"0": False, "1": True}.get(turned)
    return settings


def _read_args(folder):
    path = pathlib.Path(folder, "args.json")
    if not path.exists():
        raise ValueError(
            "The folder of a run must have an args.json. "
            f"Received: {folder}, which has none."
        )
    return run_files.read_json(path)


def read_history(folder):
    """History of the run in a folder, a list of dictionaries, one per epoch.

    What was not computed in an epoch is not in its dictionary.

    Raises:
        ValueError: if `history.csv` is damaged or does not match the run's
            checkpoint.
    """
    rows = read_table(pathlib.Path(folder, "history.csv"))
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


def plain_names(logs):
    """Logs of Keras without the output's name in the names of metrics.

    A model with several outputs logs `image_iou`, here `iou`. Losses keep their
    names, and so do metrics that would otherwise have the same name.

    Args:
        logs: Dictionary of numbers by name, from `fit` or `evaluate`.

    Example:

    >>> plain_names({"loss": 3, "image_loss": 2, "a_loss": 1, "image_iou": 0})
    {'loss': 3, 'image_loss': 2, 'a_loss': 1, 'iou': 0}
    """
    outputs = [
        name.removesuffix("loss")
        for name in logs
        if name.endswith("_loss") and not name.startswith("val_")
    ]

    def plain(name):
        metric = name.removeprefix("val_")
        prefix = name.removesuffix(metric)
        for output in outputs:
            if metric.startswith(output) and metric != f"{output}loss":
                return prefix + metric.removeprefix(output)
        return name

    plain_to_full = {}
    for name in logs:
        plain_to_full.setdefault(plain(name), []).append(name)
    return {
        (plain_name if len(names) == 1 else name): logs[name]
        for plain_name, names in plain_to_full.items()
        for name in names
    }


class TimeToPerfect(keras.callbacks.Callback):
    """Callback that finds out when a model is perfect on both data sets.

    The training score that `fit` logs is an average over the epoch, while the
    weights change. This callback evaluates the training set anew after each
    epoch in which the test set is perfect, and adds `train_<score>` to the
    logs.

    Args:
        train_data: Data set for `evaluate`.
        score: String, the metric, as `"accuracy"`.
        at_least: Number. A score is perfect from here on.
        at_most: Number. A score is perfect up to here.

    Example:

    >>> perfect = TimeToPerfect(train_data, "accuracy", at_least=1)
    >>> run.fit(model, data, 10, validation_data=test, callbacks=[perfect])
    >>> perfect.seconds(run.history)
    18.5
    """

    def __init__(self, train_data, score, at_least=-np.inf, at_most=np.inf):
        super().__init__()
        self.train_data = train_data
        self.score = score
        self.at_least = at_least
        self.at_most = at_most

    def on_epoch_end(self, epoch, logs=None):
        if self._is_perfect(plain_names(logs), "val"):
            results = self.model.evaluate(
                self.train_data, verbose=0, return_dict=True
            )
            logs[f"train_{self.score}"] = plain_names(results)[self.score]

    def seconds(self, history):
        """Seconds of training until both sets were perfect, or `None`.

        Args:
            history: List of dictionaries, as `Run.history`.
        """
        for row in history:
            if self._is_perfect(row, "train") and self._is_perfect(row, "val"):
                return row["seconds"]
        return None

    def _is_perfect(self, row, subset):
        score = row.get(f"{subset}_{self.score}", np.nan)
        return self.at_least <= score <= self.at_most
