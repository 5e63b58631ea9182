"""A training run: its folder, its seeds, and how it is saved and resumed.

    args.json                       the flags, and the environment
    history.csv                     a row an epoch: epoch, seconds of training
                                    so far, losses and metrics
    checkpoint-N/<name>.weights.h5  the state of each model after epoch N
    checkpoint-N/epoch.json         row N of the history
    best.keras                      the first model, after its best epoch
    metrics.json                    the result: numbers by name
    figures/*.png

Each of them is there whole or not at all, whenever the process is killed. A
resumed run goes on after the last whole epoch.

A checkpoint belongs to the run if its epoch.json is the row of that epoch in
history.csv. Any other file or folder, whatever its name, is left alone.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
import tempfile
import time

import keras
import numpy as np

from keras_coordconv import _files
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history

_EPOCH = "epoch.json"
_WEIGHTS = ".weights.h5"
_FILES = ("args.json", "history.csv", "best.keras", "metrics.json", "figures")


class Run:
    """A training run, new or resumed, of one model or of several.

    It sets the random seeds and the dtype policy of the flags. Make it before
    the models.

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
        ValueError: if the folder holds a run that is not to be resumed, if its
            checkpoint and its history do not match, or if other processes have
            other flags or another folder.

    Example: one model with `fit`

    >>> run = Run("regression", args)
    >>> run.fit(model, train_data, epochs=10)
    >>> run.finish(run.evaluate(run.best_model(), test=test_data))

    Example: several models with a loop

    >>> run = Run("gan", args, monitor=None)
    >>> run.track(generator, discriminator=discriminator)
    >>> for epoch in run.epochs(10):
    ...     run.end_epoch({"loss": train(generator, discriminator)})
    >>> run.finish({})
    """

    def __init__(self, name, args, monitor="loss", mode="min", devices=None):
        self.name = name
        self.args = args
        self.monitor = monitor
        self.mode = mode
        self.devices = devices
        self.writes = devices is None or devices.is_first_process
        self.path = self._open_folder(name)
        self.history = self._read_history() if args.resume else []
        self.epochs_done = len(self.history)
        # Keras saves a model only if all processes take part. What those but
        # the first one write is thrown away.
        self._scratch = None if self.writes else tempfile.TemporaryDirectory()
        self._output = pathlib.Path(
            self._scratch.name if self._scratch else self.path
        )
        self._scope = devices.scope if devices else contextlib.nullcontext
        self._models = {}
        self._tensorboard = None
        if devices:
            devices.check_same_run(self)
        keras.utils.set_random_seed(args.seed)
        keras.config.set_dtype_policy(args.dtype_policy)
        if self.writes:
            print(f"run: {self.path}, {self.epochs_done} epochs done")
            self._note_environment()
        arguments.say_on_interrupt(
            "Interrupted. To go on: "
            f"python {sys.argv[0]} --resume --workdir {self.path}"
        )

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
            self._restore(_checkpoint(self.path, self.epochs_done))
            # Those of a process that was killed before it removed them.
            for row in self.history[:-1]:
                self._remove_checkpoint(row)
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
                _files.atomic_write(self._output / "best.keras") as path,
                _averaged(model),
            ):
                model.save(path)
        self.history.append(row)
        _files.write_table(self._output / "history.csv", self.history)
        # The last thing that is written: with it, the epoch is done.
        with _files.atomic_write(_checkpoint(self._output, epoch)) as path:
            path.mkdir()
            for name, model in self._models.items():
                model.save_weights(path / f"{name}{_WEIGHTS}")
            (path / _EPOCH).write_text(json.dumps(row), encoding="utf-8")
        self.epochs_done = epoch
        if self._tensorboard:
            self._tensorboard.on_epoch_end(epoch - 1, dict(logs))
        for previous in self.history[-2:-1]:
            self._remove_checkpoint(previous)

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
                        history.plain_names(logs)
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
            return keras.saving.load_model(self.path / "best.keras")

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
            for name, value in history.plain_names(
                model.evaluate(dataset, verbose=0, return_dict=True)
            ).items()
        }

    def save_figure(self, name, figure):
        """Writes a `matplotlib` figure to `figures/<name>.png`."""
        _files.write_figure(self._output / "figures" / f"{name}.png", figure)

    def card(self, metrics):
        """What there is to say of a model that the run has trained.

        Args:
            metrics: Dictionary of numbers by name.

        Returns:
            Dictionary of the `task`, the flags that change the training, and
            the `metrics`.
        """
        flags = history.training_flags(vars(self.args))
        return {"task": self.name, **flags, "metrics": metrics}

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
        _files.write_json(self._output / "metrics.json", result)
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

    def _open_folder(self, name):
        if self.args.workdir is not None:
            path = pathlib.Path(self.args.workdir)
        else:
            path = _make_numbered_folder(pathlib.Path("runs", name))
        if not self.writes:
            return path
        taken = [name for name in _FILES if os.path.lexists(path / name)]
        if taken and not self.args.resume:
            raise ValueError(
                "A work folder holds one run. "
                f"Received: --workdir {path}, which has {', '.join(taken)}. "
                "Continue it with --resume, or name another folder."
            )
        self._environment = history.environment()
        if (path / "args.json").exists():
            self._environment |= history.read_environment(path)
        flags = {**vars(self.args), "workdir": str(path)}
        del flags["resume"]
        _files.write_json(
            path / "args.json", {**flags, "environment": self._environment}
        )
        return path

    def _note_environment(self):
        """Prints in what the environment of a resumed run differs."""
        now = history.environment()
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
        rows = history.read_history(self.path)
        done = max(
            (row["epoch"] for row in rows if _has_checkpoint(self.path, row)),
            default=0,
        )
        weights = self.path.glob(f"checkpoint-*/*{_WEIGHTS}")
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
        return rows[:done]

    def _begin_epochs(self, count):
        for epoch in range(self.epochs_done + 1, count + 1):
            path = _checkpoint(self.path, epoch)
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

    def _restore(self, checkpoint):
        saved = {
            path.name.removesuffix(_WEIGHTS)
            for path in checkpoint.glob(f"*{_WEIGHTS}")
        }
        if saved != self._models.keys():
            raise ValueError(
                "A run is resumed with the models it was begun with. "
                f"Received: {sorted(self._models)}, but {checkpoint} has "
                f"{sorted(saved)}."
            )
        for name, model in self._models.items():
            with self._scope():
                model.load_weights(checkpoint / f"{name}{_WEIGHTS}")

    def _remove_checkpoint(self, row):
        if not _has_checkpoint(self._output, row):
            return
        path = _checkpoint(self._output, row["epoch"])
        for name in self._models:
            (path / f"{name}{_WEIGHTS}").unlink(missing_ok=True)
        (path / _EPOCH).unlink()
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


def _checkpoint(folder, epoch):
    return folder / f"checkpoint-{epoch}"


def _has_checkpoint(folder, row):
    """Whether a folder has the run's own checkpoint for a row of its history.

    It may have none, or a foreign folder of that name.
    """
    path = _checkpoint(folder, row["epoch"]) / _EPOCH
    try:
        return json.loads(path.read_text(encoding="utf-8")) == row
    except (OSError, ValueError):
        return False


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
