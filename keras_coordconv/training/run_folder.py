"""The folder of a training run: flags, history, checkpoint, metrics, figures.

    args.json          the flags
    history.csv        one row an epoch: epoch, seconds so far, losses, metrics
    checkpoint-N.weights.h5   the state after epoch N, to resume from
    best.keras         the model of the epoch with the lowest training loss,
                       with its moving averages where the optimizer keeps them
    metrics.json       the result: numbers by name
    figures/*.png

Everything is written beside its place and then renamed, so that a run that is
killed leaves nothing half-written.
"""

import contextlib
import csv
import json
import os
import pathlib
import tempfile
import time

import keras

# Flags that may differ when a run is resumed: they do not shape the training.
_FREE_ARGUMENTS = (
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


_PARTIAL = "partial-"


class RunFolder:
    """A training run on disk, new or resumed.

    Args:
        path: String or path of the folder. `None` takes the next free number
            below `default_parent`, or with `resume` the last one there.
        arguments: Dictionary of the run's flags, written to `args.json`.
        resume: Boolean, whether to continue the run that the folder holds.
        default_parent: String or path, used where `path` is `None`.
        writes: Boolean, false in all but one of several processes that train
            together: they read the folder, and what they save is not kept.

    Raises:
        ValueError: if the folder cannot be written; if it holds a run already
            and `resume` is false; or if `resume` is true and it holds none, or
            one with other flags.

    Example:

    >>> run = RunFolder("runs/first", {"seed": 0})
    >>> run.restore(model)
    >>> model.fit(
    ...     data,
    ...     epochs=10,
    ...     initial_epoch=run.epochs_done,
    ...     callbacks=[run.callback()],
    ... )
    >>> run.write_metrics({"seconds": run.seconds})
    """

    def __init__(
        self,
        path,
        arguments,
        resume=False,
        default_parent="runs",
        writes=True,
    ):
        if path is None:
            path = _numbered_folder(pathlib.Path(default_parent), resume)
        self.path = pathlib.Path(path)
        self.figures = self.path / "figures"
        self.best_model = self.path / "best.keras"
        self.history = []
        self.writes = writes
        self._arguments = _that_shape_the_training(arguments)
        written = self.path / "args.json"
        try:
            if writes and written.exists() and not resume:
                raise ValueError(
                    "A work folder holds one run. "
                    f"Received: workdir={self.path}, which has one. Use "
                    "--resume to continue it, or name another folder."
                )
            if resume and not written.exists():
                raise _nothing_to_resume(self.path)
            if resume:
                self._check_same_run(json.loads(written.read_text()), arguments)
            if not writes:
                return
            self.figures.mkdir(parents=True, exist_ok=True)
            for killed in self.path.rglob(f"{_PARTIAL}*"):
                killed.unlink()
            self._write_json("args.json", arguments)
        except OSError as error:
            raise ValueError(
                "The work folder must be writable. "
                f"Received: workdir={self.path} ({error.strerror}). "
                "Name another one with --workdir."
            ) from error

    @property
    def epochs_done(self):
        """Number of epochs whose state is on disk."""
        return max(self._checkpoints(), default=0)

    @property
    def seconds(self):
        """Seconds of training so far, over all sessions of the run."""
        return self.history[-1]["seconds"] if self.history else 0.0

    def what_all_see(self):
        """Dictionary of what must be the same in all processes of a run.

        That is, the flags, and what is in the folder.
        """
        written = self.path / "args.json"
        return {
            "flags": self._arguments,
            "work folder": _that_shape_the_training(
                json.loads(written.read_text())
            )
            if written.exists()
            else "without a run",
            "epochs done": self.epochs_done,
        }

    def restore(self, model):
        """Loads the last checkpoint, if there is one, into a compiled model.

        On several devices, to be called in their scope.
        """
        epoch = self.epochs_done
        if epoch:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._checkpoints()[epoch])
            self.history = [
                row for row in self._read_history() if row["epoch"] <= epoch
            ]

    def callback(self):
        """Keras callback that writes the history and the checkpoints."""
        return _RunFolderCallback(self)

    def load_best_model(self):
        return keras.saving.load_model(self.best_model)

    def write_metrics(self, metrics):
        if self.writes:
            self._write_json("metrics.json", metrics)

    def written(self):
        """Paths of what the run has written, for printing."""
        return [
            path
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
            and not path.name.startswith(("checkpoint-", _PARTIAL))
        ]

    def record_epoch(self, model, epoch, seconds, logs):
        """Writes the state after an epoch, the checkpoint last."""
        row = {"epoch": epoch, "seconds": round(seconds, 2), **logs}
        is_best = all(row["loss"] < past["loss"] for past in self.history)
        self.history.append(row)
        if self.writes:
            self._write_history()
        if is_best:
            with self._saved_by_all(self.best_model) as path, _averaged(model):
                model.save(path)
        previous = self._checkpoints()
        checkpoint = self.path / f"checkpoint-{epoch}.weights.h5"
        with self._saved_by_all(checkpoint) as path:
            model.save_weights(path)
        if self.writes:
            for path in set(previous.values()) - {checkpoint}:
                path.unlink()

    @contextlib.contextmanager
    def _saved_by_all(self, path):
        """Path for each process to save a model to; one of them stays.

        What Keras does with the variables for it, all processes must do: they
        share them.
        """
        if self.writes:
            with _beside(path) as partial:
                yield partial
        else:
            with tempfile.TemporaryDirectory() as scratch:
                yield pathlib.Path(scratch, path.name)

    def _checkpoints(self):
        return {
            int(path.name.split("-")[1].split(".")[0]): path
            for path in self.path.glob("checkpoint-*.weights.h5")
        }

    def _check_same_run(self, begun_with, arguments):
        for name, value in _that_shape_the_training(arguments).items():
            if begun_with.get(name) == value:
                continue
            flag = name.replace("_", "-")
            raise ValueError(
                "A run is resumed with the flags it was begun with. "
                f"Received: --{flag} {value}, begun with "
                f"{begun_with.get(name)} in {self.path}. Leave the flag as it "
                "was, or name another folder with --workdir."
            )

    def _read_history(self):
        path = self.path / "history.csv"
        return _read_history(path) if path.exists() else []

    def _write_history(self):
        with (
            _beside(self.path / "history.csv") as partial,
            partial.open("w", newline="") as file,
        ):
            names = dict.fromkeys(name for row in self.history for name in row)
            writer = csv.DictWriter(file, fieldnames=list(names))
            writer.writeheader()
            writer.writerows(self.history)

    def _write_json(self, name, content):
        with _beside(self.path / name) as partial:
            partial.write_text(json.dumps(content, indent=2) + "\n")


class _RunFolderCallback(keras.callbacks.Callback):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter() - self.run.seconds

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.run.record_epoch(self.model, epoch + 1, seconds, logs)


def _that_shape_the_training(arguments):
    return {
        name: value
        for name, value in arguments.items()
        if name not in _FREE_ARGUMENTS
    }


def read_run(folder):
    """What a finished run has written.

    Args:
        folder: String or path, the run's folder.

    Returns:
        Dictionary of `args`, `metrics` (dictionaries) and `history` (a list of
        dictionaries, one an epoch), with the test score as `val_<score>`.

    Raises:
        ValueError: if there is no finished run.
    """
    folder = pathlib.Path(folder)
    if not (folder / "metrics.json").exists():
        raise ValueError(
            "A run to read must be finished, with metrics.json. "
            f"Received: folder={folder}"
        )
    metrics = json.loads((folder / "metrics.json").read_text())
    scores = [
        name.removeprefix("test_")
        for name in metrics
        if name.startswith("test_")
    ]
    history = [
        {_plain_name(name, scores): value for name, value in row.items()}
        for row in _read_history(folder / "history.csv")
    ]
    return {
        "args": json.loads((folder / "args.json").read_text()),
        "metrics": metrics,
        "history": history,
    }


def _plain_name(name, scores):
    """`val_iou` for `val_image_iou`, where `iou` is a score of the run."""
    for score in scores:
        if name.startswith("val_") and name.endswith(f"_{score}"):
            return name if score == "loss" else f"val_{score}"
    return name


def _read_history(path):
    with path.open(newline="") as file:
        return [
            {
                name: int(value) if name == "epoch" else float(value)
                for name, value in row.items()
                if value
            }
            for row in csv.DictReader(file)
        ]


@contextlib.contextmanager
def _beside(path):
    """Path to write to, renamed to `path` when the block ends well."""
    partial = path.with_name(f"{_PARTIAL}{path.name}")
    try:
        yield partial
        # On disk before it takes the place of what is.
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _averaged(model):
    """The model with its moving averages as weights, if it keeps any."""
    # In float16, an optimizer that scales the loss is around the one of EMA.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        yield
        return
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    try:
        yield
    finally:
        swap.on_test_end()


def _numbered_folder(parent, resume):
    numbers = [
        int(path.name) for path in parent.glob("*") if path.name.isdecimal()
    ]
    last = max(numbers, default=0)
    if resume and not last:
        raise _nothing_to_resume(parent)
    return parent / f"{last if resume else last + 1:03d}"


def _nothing_to_resume(folder):
    return ValueError(
        "--resume needs a run to continue. "
        f"Received: no run in {folder}. Name its folder with --workdir."
    )
