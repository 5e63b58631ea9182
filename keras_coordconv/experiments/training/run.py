"""A training run: its folder, its seeds, and how it is saved and resumed.

    args.json                       the flags, and the environment
    history.csv                     one row per epoch: epoch, training time so
                                    far in seconds, losses and metrics
    checkpoint-N/<name>.weights.h5  the state of each model after epoch N
    checkpoint-N/epoch.json         the history up to epoch N, and checksums
    model.keras                     the first model, after the last epoch
    metrics.json                    the result: numbers by name
    figures/*.png

Files are written atomically. A resumed run continues after the last complete
epoch.

A checkpoint belongs to the run if the history in its epoch.json matches
history.csv. All other files and folders are left alone, whatever their names.
Damaged files raise errors, see `run_files`.

The process locks the folder. If the folder is deleted or moved, nothing more is
written.
"""

import contextlib
import math
import os
import pathlib
import sys
import tempfile
import time

import keras
import numpy as np

from keras_coordconv import _files
from keras_coordconv import _signals
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.callbacks import plain_names

_FILES = ("args.json", "history.csv", "model.keras", "metrics.json", "figures")


class Run(_signals.ContinuedBy):
    """A training run of one or several models, new or resumed.

    It sets the random seeds and the dtype policy of the flags, so create it
    before the models. It locks its folder until its `with` block ends.

    Args:
        name: String, the experiment. Without `args.workdir`, the run's folder
            is the next number in `runs/<name>/`.
        args: Flags from `recipes.parse`.
        devices: `distribution.Devices`, if there may be several.

    Raises:
        ValueError: if the folder contains a run and `args.resume` is `False`,
            if another process is training the run, if a file of the run is
            damaged or missing, or if the processes disagree on the flags or the
            folder.

    Example: one model with `fit`

    >>> with Run("regression", args) as run:
    ...     run.fit(model, train_data, epochs=10)
    ...     run.finish(run.evaluate(run.trained_model(), test=test_data))

    Example: several models with a loop

    >>> with Run("gan", args) as run:
    ...     run.track(generator, discriminator=discriminator)
    ...     for epoch in run.epochs(10):
    ...         run.end_epoch({"loss": train(generator, discriminator)})
    ...     run.finish({})
    """

    def __init__(self, name, args, devices=None):
        self.name = name
        self.args = args
        self.devices = devices
        self.writes = devices is None or devices.is_first_process
        if args.workdir is not None:
            self.path = pathlib.Path(args.workdir)
        else:
            self.path = _make_numbered_folder(pathlib.Path("runs", name))
        super().__init__(
            "python", sys.argv[0], "--resume", "--workdir", str(self.path)
        )
        self._folder = self._lock_folder() if self.writes else None
        try:
            if self.writes:
                self._write_args()
            self.history = self._read_history() if args.resume else []
            self.epochs_done = len(self.history)
            if devices:
                devices.check_same_run(self)
        except BaseException:
            _files.unlock_folder(self._folder)
            raise
        # Keras saves a model only if all processes take part. The files of all
        # but the first process are discarded.
        self._scratch = None if self.writes else tempfile.TemporaryDirectory()
        self._output = pathlib.Path(
            self._scratch.name if self._scratch else self.path
        )
        self._scope = devices.scope if devices else contextlib.nullcontext
        self._models = {}
        self._tensorboard = None
        keras.utils.set_random_seed(args.seed)
        keras.config.set_dtype_policy(args.dtype_policy)
        if self.writes:
            print(f"run: {self.path}, {self.epochs_done} epochs done")
            self._note_environment()

    def __exit__(self, kind, error, trace):
        super().__exit__(kind, error, trace)
        _files.unlock_folder(self._folder)

    @property
    def seconds(self):
        """Training time in seconds, including the time before resuming."""
        return self.history[-1]["seconds"] if self.history else 0.0

    def track(self, model, **others):
        """Restores the state of models, and saves it after each epoch.

        Args:
            model: `keras.Model`, compiled or not. It is saved as `model.keras`.
            **others: Other models by name.

        Raises:
            ValueError: if the run was started with other models, or if the
                devices cannot train one of them.
        """
        self._models = {"model": model, **others}
        for tracked in self._models.values():
            if _is_compiled(tracked):
                if self.devices:
                    self.devices.check(tracked)
                with self._scope():
                    tracked.optimizer.build(tracked.trainable_variables)
        if self.epochs_done:
            with self._scope():
                run_files.load_checkpoint(
                    run_files.checkpoint_path(self.path, self.epochs_done),
                    self._models,
                )
            # A process may have been killed before it removed them.
            for epoch in range(1, self.epochs_done):
                self._remove_checkpoint(epoch)
        if self.args.tensorboard and self.writes:
            self._tensorboard = keras.callbacks.TensorBoard(
                self.args.tensorboard
            )
            self._tensorboard.set_model(model)

    def epochs(self, count):
        """Yields the numbers of the remaining epochs.

        Call `end_epoch` at the end of each epoch.

        Args:
            count: Integer, number of epochs of the whole run.
        """
        self._begin_epochs(count)
        for epoch in range(self.epochs_done + 1, count + 1):
            self._seed_epoch()
            yield epoch
            if self.epochs_done != epoch:
                raise RuntimeError(
                    "Call `run.end_epoch(logs)` at the end of each epoch."
                )

    def end_epoch(self, logs):
        """Saves the history and the state of the models after an epoch.

        Args:
            logs: Dictionary of numbers by name.

        Raises:
            ValueError: if a number is not finite. In this case nothing is
                written.
        """
        epoch = self.epochs_done + 1
        seconds = round(time.perf_counter() - self._start, 2)
        row = {"epoch": epoch, "seconds": seconds}
        row |= {name: float(value) for name, value in logs.items()}
        self.check_finite(row)
        model = self._models["model"]
        with (
            _files.atomic_write(self.output("model.keras")) as path,
            _averaged(model),
        ):
            run_files.save_model(path, model)
        self.history.append(row)
        _files.write_table(self.output("history.csv"), self.history)
        # Written last: it completes the epoch.
        run_files.save_checkpoint(self.output(), self.history, self._models)
        self.epochs_done = epoch
        if self._tensorboard:
            self._tensorboard.on_epoch_end(epoch - 1, dict(logs))
        self._remove_checkpoint(epoch - 1)

    def check_finite(self, logs):
        """Checks that the training has not diverged, as `end_epoch` also does.

        Args:
            logs: Dictionary of numbers by name, of the current epoch.

        Raises:
            ValueError: if a number is not finite.
        """
        for name, value in logs.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"Training diverged: {name}={value} in epoch "
                    f"{self.epochs_done + 1}. The state after epoch "
                    f"{self.epochs_done} is in {self.path}. Try a lower "
                    "learning rate."
                )

    def fit(self, model, data, epochs, callbacks=(), **fit_arguments):
        """Trains a compiled model with `model.fit`.

        Args:
            model: A compiled `keras.Model`.
            data: Data set of batches, in training order.
            epochs: Integer, number of epochs of the whole run.
            callbacks: Keras callbacks. The values that they add to the logs at
                the end of an epoch are part of the history.
            **fit_arguments: Other arguments of `model.fit`.
        """
        self.track(model)
        self._begin_epochs(epochs)
        model.fit(
            data,
            epochs=epochs,
            initial_epoch=self.epochs_done,
            callbacks=[
                *callbacks,
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: self._seed_epoch(),
                    on_epoch_end=lambda epoch, logs: self.end_epoch(
                        plain_names(logs)
                    ),
                ),
            ],
            shuffle=False,  # The data set shuffles.
            verbose="auto" if self.writes else 0,
            **fit_arguments,
        )
        if self.devices:
            self.devices.wait_for_all()

    def trained_model(self):
        """Loads the first model as it was after the last epoch, compiled."""
        with self._scope():
            return run_files.load_model(self.path / "model.keras")

    def evaluate(self, model, **data):
        """Computes the losses and metrics of a compiled model.

        Args:
            model: A compiled `keras.Model`.
            **data: Data sets by name.

        Returns:
            Dictionary from `<data set>_<metric>` to a number.
        """
        return {
            f"{subset}_{name}": float(value)
            for subset, dataset in data.items()
            for name, value in plain_names(
                model.evaluate(dataset, verbose=0, return_dict=True)
            ).items()
        }

    def output(self, *names):
        """Returns the path to write a file of this run to.

        Args:
            *names: Strings, the parts of the path below the run's folder.

        Raises:
            ValueError: if the run's folder was deleted or moved.
        """
        if self.writes and not (
            _files.is_folder(self.path, self._folder)
            and (self.path / "args.json").exists()
        ):
            raise ValueError(
                f"The run's folder {self.path} was deleted or moved during "
                "training. Nothing more was written. Put the folder back to "
                "continue the run."
            )
        return self._output.joinpath(*names)

    def save_figure(self, name, figure):
        """Writes a `matplotlib` figure to `figures/<name>.png`."""
        _files.write_figure(self.output("figures", f"{name}.png"), figure)

    def export(self, model, metrics, **arguments):
        """Exports a model as a SavedModel to `--export-dir`.

        The model card contains the task, the flags that affect the training,
        and the metrics.

        Args:
            model: `keras.Model`.
            metrics: Dictionary of numbers by name.
            **arguments: Other arguments of `export_for_serving`.
        """
        # Needs TensorFlow, which `recipes.parse` checks.
        from keras_coordconv.serving import export_for_serving

        settings = flags.training_flags(vars(self.args))
        card = {"task": self.name, **settings, "metrics": metrics}
        exported = export_for_serving(
            model, self.args.export_dir, card=card, **arguments
        )
        print(f"exported: {exported}")

    def finish(self, metrics):
        """Writes and prints the metrics, and prints the paths of all files.

        Args:
            metrics: Dictionary of numbers by name. `None` values are left out.

        Returns:
            Dictionary of the numbers in `metrics.json`: the metrics, the
            `seconds` of training, and the number of trainable `parameters` of
            the first model.
        """
        weights = self._models["model"].trainable_weights
        result = {
            "seconds": self.seconds,
            "parameters": sum(math.prod(weight.shape) for weight in weights),
            **{name: x for name, x in metrics.items() if x is not None},
        }
        run_files.write_json(self.output("metrics.json"), result)
        if self.writes:
            print(", ".join(f"{name} {x:.6g}" for name, x in result.items()))
            paths = [
                *self.path.glob("[!.]*.*"),
                *self.path.glob("figures/[!.]*.*"),
            ]
            for path in sorted(paths):
                if path.is_file():
                    print(f"written: {path}")
        return result

    def _lock_folder(self):
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return _files.lock_folder(self.path)
        except BlockingIOError:
            raise ValueError(
                f"The run in {self.path} is being trained by another process. "
                "Wait until that process ends, or choose another --workdir."
            ) from None

    def _write_args(self):
        has_run = (self.path / "args.json").exists()
        taken = [name for name in _FILES if os.path.lexists(self.path / name)]
        if taken and not (self.args.resume and has_run):
            advice = "Continue it with --resume, or use" if has_run else "Use"
            raise ValueError(
                "--workdir already contains a run. "
                f"Received: {self.path}, which has {', '.join(taken)}. "
                f"{advice} another folder."
            )
        self._environment = _environment()
        if has_run:
            self._environment |= results.read_environment(self.path)
        settings = {**vars(self.args), "workdir": str(self.path)}
        del settings["resume"]
        run_files.write_json(
            self.path / "args.json",
            {**settings, "environment": self._environment},
        )

    def _note_environment(self):
        """Prints how the environment of a resumed run has changed."""
        now = _environment()
        changes = [
            f"{name} was {value} and is {now.get(name)}"
            for name, value in self._environment.items()
            if value != now.get(name)
        ]
        if changes:
            print(
                "The environment has changed, so the last digits will differ "
                f"from those of an uninterrupted run: {', '.join(changes)}"
            )

    def _read_history(self):
        """Reads the rows of the history up to the last checkpoint."""
        rows = run_files.read_history(self.path)
        done = run_files.epochs_with_checkpoint(self.path, rows)
        weights = self.path.glob(f"checkpoint-*/*{run_files.WEIGHTS}")
        found = sorted({path.parent.name for path in weights})
        # The run may have been killed before the checkpoint of the last row.
        if len(rows) - done not in (0, 1) or (found and not done):
            matching = f"only that of epoch {done}" if done else "no checkpoint"
            raise ValueError(
                f"Cannot resume the run in {self.path}: history.csv has "
                f"{len(rows)} epochs, but {matching} matches it (found: "
                f"{', '.join(found) or 'no checkpoint'}). Restore the missing "
                "files, or start a new run in another folder."
            )
        if done:
            run_files.check_model(self.path / "model.keras")
        return rows[:done]

    def _begin_epochs(self, count):
        for epoch in range(self.epochs_done + 1, count + 1):
            path = run_files.checkpoint_path(self.path, epoch)
            if os.path.lexists(path):
                raise ValueError(
                    f"{path} is not a checkpoint of this run, but has the name "
                    "of one. Move it, or choose another --workdir."
                )
        self._start = time.perf_counter() - self.seconds

    def _seed_epoch(self):
        """Seeds the random numbers of the next epoch.

        They depend only on the seed and the epoch, so a resumed run gets the
        same numbers as an uninterrupted one.
        """
        entropy = np.random.SeedSequence([self.args.seed, self.epochs_done])
        keras.utils.set_random_seed(int(entropy.generate_state(1)[0]))
        for model in self._models.values():
            for variable in model.variables:
                if variable.name == "seed_generator_state":
                    # The seed, and a count of its uses.
                    seed = keras.ops.convert_to_numpy(variable)[0]
                    variable.assign([seed, self.epochs_done * 2**16])

    def _remove_checkpoint(self, epoch):
        if not run_files.has_checkpoint(self._output, self.history[:epoch]):
            return
        path = run_files.checkpoint_path(self._output, epoch)
        for name in self._models:
            (path / f"{name}{run_files.WEIGHTS}").unlink(missing_ok=True)
        (path / run_files.EPOCH).unlink()
        # Files that the user has put there are kept.
        with contextlib.suppress(OSError):
            path.rmdir()


def _is_compiled(model):
    return getattr(model, "optimizer", None) is not None


@contextlib.contextmanager
def _averaged(model):
    """Sets the weights to their moving averages, if the model has any."""
    optimizer = getattr(model, "optimizer", None)
    # In float16, the optimizer is wrapped in one that scales the loss.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not (optimizer and optimizer.use_ema):
        yield
        return
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    try:
        yield
    finally:
        swap.on_test_end()


def _make_numbered_folder(parent):
    """Makes the folder with the next number, which no other process uses."""
    while True:
        numbers = [
            int(path.name) for path in parent.glob("*") if path.name.isdecimal()
        ]
        path = parent / f"{max(numbers, default=0) + 1:03d}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path


def _environment():
    """Returns the settings besides the flags that change the last digits.

    Returns:
        Dictionary of the `backend` and, on TensorFlow, `onednn`: whether oneDNN
        is turned on, or `None` for the CPU's default.
    """
    settings = {"backend": keras.backend.backend()}
    if settings["backend"] == "tensorflow":
        turned = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
        settings["onednn"] = {"0": False, "1": True}.get(turned)
    return settings
