"""A training run: its folder, its seeds, and how it is saved and resumed.

    args.json                       the flags, and the environment
    history.csv                     a row per epoch: epoch, seconds of training
                                    so far, losses and metrics
    checkpoint-N/<name>.weights.h5  the state of each model after epoch N
    checkpoint-N/epoch.json         the history up to epoch N, and checksums
    best.keras                      the first model, after its best epoch
    metrics.json                    the result: numbers by name
    figures/*.png

Each of them is there whole or not at all, whenever the process is killed. A
resumed run goes on after the last whole epoch.

A checkpoint belongs to the run if its epoch.json has the history that is in
history.csv. Any other file or folder, whatever its name, is left alone. Damaged
files are errors, see `run_files`.

The process locks the folder. Nothing more is written if the folder is deleted
or moved.
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

_FILES = ("args.json", "history.csv", "best.keras", "metrics.json", "figures")


class Run(_signals.ContinuedBy):
    """A training run, new or resumed, of one model or of several.

    It sets the random seeds and the dtype policy of the flags. Make it before
    the models. It is a context manager that locks the folder.

    Args:
        name: String, the experiment. With no `args.workdir`, the run's folder
            is the next number below `runs/<name>/`.
        args: Flags from `arguments.parse`.
        monitor: String, the name in the logs that says which epoch is the best
            one. `None` takes the last epoch.
        mode: String, `"min"` or `"max"`: whether a lower or a higher value of
            `monitor` is better.
        devices: `distribution.Devices`, where there may be several.

    Raises:
        ValueError: if the folder holds a run that is not to be resumed or that
            another process is training, if a file of the run is damaged or
            missing, or if other processes have other flags or another folder.

    Example: one model with `fit`

    >>> with Run("regression", args) as run:
    ...     run.fit(model, train_data, epochs=10)
    ...     run.finish(run.evaluate(run.best_model(), test=test_data))

    Example: several models with a loop

    >>> with Run("gan", args, monitor=None) as run:
    ...     run.track(generator, discriminator=discriminator)
    ...     for epoch in run.epochs(10):
    ...         run.end_epoch({"loss": train(generator, discriminator)})
    ...     run.finish({})
    """

    def __init__(self, name, args, monitor="loss", mode="min", devices=None):
        self.name = name
        self.args = args
        self.monitor = monitor
        self.mode = mode
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
        # Keras saves a model only if all processes take part. What those but
        # the first one write is thrown away.
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
        """Seconds of training so far, with those before it was resumed."""
        return self.history[-1]["seconds"] if self.history else 0.0

    def track(self, model, **others):
        """Restores the state of models, and saves it after each epoch.

        Args:
            model: `keras.Model`, compiled or not. `best.keras` is this one.
            **others: Further models by name.

        Raises:
            ValueError: if the run was begun with other models, or if the
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
        """Yields the numbers of the epochs that are still to do.

        Each must end with `end_epoch`.

        Args:
            count: Integer, epochs of the whole run: the last number.
        """
        self._begin_epochs(count)
        for epoch in range(self.epochs_done + 1, count + 1):
            self._seed_epoch()
            yield epoch
            if self.epochs_done != epoch:
                raise RuntimeError("An epoch must end with `end_epoch`.")

    def end_epoch(self, logs):
        """Writes the history and the state of the models after an epoch.

        Args:
            logs: Dictionary of numbers by name.

        Raises:
            ValueError: if a number is not finite: then nothing is written.
        """
        epoch = self.epochs_done + 1
        seconds = round(time.perf_counter() - self._start, 2)
        row = {"epoch": epoch, "seconds": seconds}
        row |= {name: float(value) for name, value in logs.items()}
        self.check_finite(row)
        if self._is_best(row):
            model = self._models["model"]
            with (
                _files.atomic_write(self.output("best.keras")) as path,
                _averaged(model),
            ):
                run_files.save_model(path, model)
        self.history.append(row)
        _files.write_table(self.output("history.csv"), self.history)
        # The last thing that is written: with it, the epoch is done.
        run_files.save_checkpoint(self.output(), self.history, self._models)
        self.epochs_done = epoch
        if self._tensorboard:
            self._tensorboard.on_epoch_end(epoch - 1, dict(logs))
        self._remove_checkpoint(epoch - 1)

    def check_finite(self, logs):
        """Checks that a training has not diverged. `end_epoch` does so, too.

        Args:
            logs: Dictionary of numbers by name, of the epoch that is running.

        Raises:
            ValueError: if a number is not finite.
        """
        for name, value in logs.items():
            if not math.isfinite(value):
                raise ValueError(
                    "The numbers of a training must be finite. Received: "
                    f"{name}={value} in epoch {self.epochs_done + 1}. The "
                    f"state after epoch {self.epochs_done} is in {self.path}. "
                    "Try a lower learning rate."
                )

    def fit(self, model, data, epochs, callbacks=(), **fit_arguments):
        """Trains a compiled model with `model.fit`, as one run.

        Args:
            model: A compiled `keras.Model`.
            data: Data set of batches, in the order of the training.
            epochs: Integer, epochs of the whole run.
            callbacks: Keras callbacks. What they add to the logs at the end of
                an epoch is in the history.
            **fit_arguments: Further arguments of `model.fit`.
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
            shuffle=False,  # The data set does that itself.
            verbose="auto" if self.writes else 0,
            **fit_arguments,
        )
        if self.devices:
            self.devices.wait_for_all()

    def best_model(self):
        """The first model as it was after its best epoch, compiled."""
        with self._scope():
            return run_files.load_model(self.path / "best.keras")

    def evaluate(self, model, **data):
        """Losses and metrics of a compiled model, as `metrics.json` has them.

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
        """Path of a file of this run that is about to be written.

        Args:
            *names: Strings, the folders in the run's folder and the file.

        Raises:
            ValueError: if the run's folder was deleted or moved, so that the
                file would be in another one.
        """
        if self.writes and not (
            _files.is_folder(self.path, self._folder)
            and (self.path / "args.json").exists()
        ):
            raise ValueError(
                f"The run's folder {self.path} was deleted or moved during the "
                "training. Nothing more was written. Put the folder back to "
                "continue the run."
            )
        return self._output.joinpath(*names)

    def save_figure(self, name, figure):
        """Writes a `matplotlib` figure to `figures/<name>.png`."""
        _files.write_figure(self.output("figures", f"{name}.png"), figure)

    def export(self, model, metrics, **arguments):
        """Exports a model as a SavedModel below `--export-dir`.

        Its card has the task, the flags that change the training, and metrics.

        Args:
            model: `keras.Model`.
            metrics: Dictionary of numbers by name.
            **arguments: Further arguments of `export_for_serving`.
        """
        # TensorFlow only, as --export-dir says.
        from keras_coordconv.serving import export_for_serving

        settings = flags.training_flags(vars(self.args))
        card = {"task": self.name, **settings, "metrics": metrics}
        exported = export_for_serving(
            model, self.args.export_dir, card=card, **arguments
        )
        print(f"exported: {exported}")

    def finish(self, metrics):
        """Writes the result, prints it and the paths of what was written.

        Args:
            metrics: Dictionary of numbers by name; `None`s are left out.

        Returns:
            Dictionary of the numbers in `metrics.json`: these, `seconds` of
            training, and the trainable `parameters` of the first model.
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
                "Wait until that process has ended, or name another --workdir."
            ) from None

    def _write_args(self):
        has_run = (self.path / "args.json").exists()
        taken = [name for name in _FILES if os.path.lexists(self.path / name)]
        if taken and not (self.args.resume and has_run):
            advice = "Continue it with --resume, or name" if has_run else "Name"
            raise ValueError(
                "A work folder holds one run. "
                f"Received: --workdir {self.path}, which has "
                f"{', '.join(taken)}. {advice} another folder."
            )
        self._environment = _environment()
        if has_run:
            self._environment |= results.read_environment(self.path)
        flags = {**vars(self.args), "workdir": str(self.path)}
        del flags["resume"]
        run_files.write_json(
            self.path / "args.json", {**flags, "environment": self._environment}
        )

    def _note_environment(self):
        """Prints in what the environment of a resumed run differs."""
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
        """Rows of the epochs of which there is a checkpoint, or a later one."""
        rows = run_files.read_table(self.path / "history.csv")
        done = run_files.epochs_with_checkpoint(self.path, rows)
        weights = self.path.glob(f"checkpoint-*/*{run_files.WEIGHTS}")
        found = sorted({path.parent.name for path in weights})
        # A kill comes before the checkpoint of the last row, or after it.
        if len(rows) - done not in (0, 1) or (found and not done):
            matching = f"that of epoch {done}" if done else "none"
            raise ValueError(
                f"Cannot resume the run in {self.path}: history.csv has "
                f"{len(rows)} epochs, the checkpoint that belongs to it is "
                f"{matching} (found: {', '.join(found) or 'no checkpoint'}). "
                "Restore what is missing, or start a new run in another folder."
            )
        if done:
            run_files.check_model(self.path / "best.keras")
        return rows[:done]

    def _begin_epochs(self, count):
        for epoch in range(self.epochs_done + 1, count + 1):
            path = run_files.checkpoint_path(self.path, epoch)
            if os.path.lexists(path):
                raise ValueError(
                    f"{path} is not a checkpoint of this run, which needs the "
                    "name. Move it, or name another --workdir."
                )
        self._start = time.perf_counter() - self.seconds

    def _seed_epoch(self):
        """Gives the next epoch random numbers of its own.

        They depend on the seed and the epoch alone: a resumed run has those
        that would have come next.
        """
        entropy = np.random.SeedSequence([self.args.seed, self.epochs_done])
        keras.utils.set_random_seed(int(entropy.generate_state(1)[0]))
        for model in self._models.values():
            for variable in model.variables:
                if variable.name == "seed_generator_state":
                    # The seed, and how often it was used.
                    seed = keras.ops.convert_to_numpy(variable)[0]
                    variable.assign([seed, self.epochs_done * 2**16])

    def _remove_checkpoint(self, epoch):
        if not run_files.has_checkpoint(self._output, self.history[:epoch]):
            return
        path = run_files.checkpoint_path(self._output, epoch)
        for name in self._models:
            (path / f"{name}{run_files.WEIGHTS}").unlink(missing_ok=True)
        (path / run_files.EPOCH).unlink()
        # What a user has put there stays.
        with contextlib.suppress(OSError):
            path.rmdir()

    def _is_best(self, row):
        if self.monitor is None:
            return True
        sign = {"min": -1, "max": 1}[self.mode]
        return all(
            sign * row[self.monitor] > sign * past[self.monitor]
            for past in self.history
        )


def _is_compiled(model):
    return getattr(model, "optimizer", None) is not None


@contextlib.contextmanager
def _averaged(model):
    """The model with its moving averages as weights, if it keeps any."""
    optimizer = getattr(model, "optimizer", None)
    # In float16, an optimizer that scales the loss is around the one of EMA.
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
    """The next number below a folder, made by this process alone."""
    while True:
        numbers = [
            int(path.name) for path in parent.glob("*") if path.name.isdecimal()
        ]
        path = parent / f"{max(numbers, default=0) + 1:03d}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path


def _environment():
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
