"""Training on several devices: those of one machine, or of several machines.

    devices = distribution.start(args.devices)
    with devices.scope():
        model = ...
        model.compile(..., **devices.compile_arguments())
    model.fit(...)

Each device takes an equal part of the batch; the result is that of one device
with the whole batch. On the TensorFlow backend this is
`tf.distribute.MirroredStrategy`, on the devices of one machine. On the JAX
backend it is `keras.distribution.DataParallel`, on the devices of one machine
or of several, with a process on each.
"""

import contextlib
import dataclasses
import json
import zlib
from collections.abc import Callable

import keras
import numpy as np

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Args:
        count: Integer, number of devices of all processes together.
        processes: Integer, number of processes.
        process_id: Integer, the number of this process, from 0 on.
        scope: Function to the context in which to build and compile the model.
        is_mirrored: Boolean, whether a `tf.distribute` strategy does it.
    """

    count: int = 1
    processes: int = 1
    process_id: int = 0
    scope: Callable = contextlib.nullcontext
    is_mirrored: bool = False

    @property
    def is_first_process(self):
        """Whether this process writes files and talks to the user."""
        return self.process_id == 0

    def local_batch_size(self, batch_size):
        """Examples of this process in a global batch.

        Raises:
            ValueError: if the devices cannot share the batch evenly.
        """
        if batch_size % self.count:
            raise ValueError(
                "The batch must be a multiple of the number of devices. "
                f"Received: a batch of {batch_size} for {self.count} devices"
            )
        return batch_size // self.processes

    def compile_arguments(self):
        """Arguments of `compile` that these devices need."""
        # "auto" would take XLA on GPUs, which the strategy cannot have.
        return {"jit_compile": False} if self.is_mirrored else {}

    def check(self, model):
        """Refuses a compiled model that these devices cannot train.

        Raises:
            ValueError: if a strategy has to train a model with several steps
                an execution, gradient accumulation or XLA.
        """
        if not self.is_mirrored:
            return
        settings = {
            "steps_per_execution": model.steps_per_execution > 1,
            "jit_compile": model.jit_compile is True,
            "gradient_accumulation_steps": bool(
                model.optimizer.gradient_accumulation_steps
            ),
        }
        for name, is_set in settings.items():
            if is_set:
                raise ValueError(
                    "Several devices on the TensorFlow backend train without "
                    f"`{name}`. Received: a model compiled with it. Leave it "
                    "out, use one device, or set KERAS_BACKEND=jax."
                )

    def check_same(self, **values):
        """Refuses values that are not the same in all processes.

        Args:
            **values: Values by name, of types that json has.

        Raises:
            ValueError: in each process, if a value differs between two.
        """
        if self.processes == 1:
            return
        from jax.experimental import multihost_utils

        sums = [
            zlib.crc32(json.dumps(value, sort_keys=True).encode())
            for value in values.values()
        ]
        all_sums = multihost_utils.process_allgather(np.array(sums, "uint32"))
        for name, of_processes in zip(values, all_sums.T, strict=True):
            if len(set(of_processes.tolist())) > 1:
                raise ValueError(
                    "All processes of a training must have the same flags, "
                    "data and work folder. Received in process "
                    f"{self.process_id}: {name}={values[name]}, which is not "
                    "the same in another process."
                )

    def check_same_run(self, run):
        """Refuses a `Run` that other processes see with other flags or files.

        Raises:
            ValueError: as `check_same`.
        """
        self.wait_for_all()
        has_flags = (run.path / "args.json").exists()
        self.check_same(
            flags=flags.training_flags(vars(run.args)),
            work_folder=results.read_flags(run.path) if has_flags else "empty",
            epochs_done=run.epochs_done,
        )

    def wait_for_all(self):
        """Returns when all processes have come here."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("wait_for_all")


def add_arguments(parser):
    """Adds `--devices`, `--coordinator`, `--processes` and `--process-id`."""
    group = parser.add_argument_group("devices")
    group.add_argument(
        "--devices",
        type=_number_of_devices,
        default=ALL,
        metavar="N|all",
        help="number of devices of this machine; CUDA_VISIBLE_DEVICES "
        "chooses them. Without a GPU, N parts of the processor, to try it out "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="for several machines, with KERAS_BACKEND=jax: the address of "
        "process 0, the same for all; all must share the folder --workdir",
    )
    group.add_argument(
        "--processes",
        type=int,
        default=1,
        help="number of processes, one on each machine (default: %(default)s)",
    )
    group.add_argument(
        "--process-id",
        type=int,
        default=0,
        help="number of this process, from 0 on (default: %(default)s)",
    )


def start(devices=ALL, coordinator=None, processes=1, process_id=0):
    """Prepares the devices; to be called before anything uses one.

    Args:
        devices: Integer, or `"all"`: number of devices of this machine. Without
            a GPU, `"all"` is the processor; a number splits it into parts, for
            trials and tests.
        coordinator: String, `"host:port"` of process 0, for several processes.
        processes: Integer, number of processes.
        process_id: Integer, the number of this process.

    Returns:
        `Devices`.

    Raises:
        ValueError: if there are fewer devices, or if the backend cannot train
            on several.
    """
    if (processes > 1) != (coordinator is not None) or not (
        0 <= process_id < processes
    ):
        raise ValueError(
            "Several processes need a coordinator, their number and a process "
            "id below it. Received: "
            f"{coordinator=}, {processes=}, {process_id=}"
        )
    backend = keras.backend.backend()
    if backend == "jax":
        return _start_jax(devices, coordinator, processes, process_id)
    if processes > 1:
        raise ValueError(
            "Several processes need Keras on the JAX backend. "
            f"Received: {processes=} on {backend}. Set KERAS_BACKEND=jax; the "
            "trained model can be exported with KERAS_BACKEND=tensorflow."
        )
    if backend == "tensorflow":
        return _start_tensorflow(devices)
    if devices not in (ALL, 1):
        raise ValueError(
            "Several devices need Keras on the TensorFlow or JAX backend. "
            f"Received: {devices=} on {backend}"
        )
    return Devices()


def _start_tensorflow(devices):
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and devices not in (ALL, 1):
        _split_processor(tf, devices)
    available = [f"GPU:{index}" for index in range(len(gpus))] or [
        f"CPU:{index}" for index in range(1 if devices == ALL else devices)
    ]
    chosen = _choose(available, devices)
    # TensorFlow would take the memory of the others, too.
    tf.config.set_visible_devices(gpus[: len(chosen)], "GPU")
    if len(chosen) == 1:
        return Devices()
    strategy = tf.distribute.MirroredStrategy(chosen)
    return Devices(len(chosen), scope=strategy.scope, is_mirrored=True)


def _split_processor(tf, count):
    (processor,) = tf.config.list_physical_devices("CPU")
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise ValueError(
                "The devices must be set before TensorFlow uses one. "
                f"Received: devices={count} after that"
            ) from None


def _start_jax(devices, coordinator, processes, process_id):
    import jax
    import tensorflow as tf

    # TensorFlow reads the images; the devices are JAX's.
    tf.config.set_visible_devices([], "GPU")
    if devices != ALL:
        jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        # Not by Keras: under Slurm, JAX would find one GPU a process.
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            cluster_detection_method="deactivate",
        )
    names = []
    for process in range(processes):
        own = [d for d in jax.devices() if d.process_index == process]
        names += _choose([f"{d.platform}:{d.id}" for d in own], devices)
    if len(names) > 1:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(
                devices=names, auto_shard_dataset=False
            )
        )
    return Devices(len(names), processes, process_id)


def _choose(available, devices):
    count = len(available) if devices == ALL else devices
    if count > len(available):
        raise ValueError(
            "There must be as many devices as are asked for. "
            f"Received: {devices=}, but there are {available}"
        )
    return available[:count]


def _number_of_devices(text):
    if text == ALL:
        return ALL
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(text)
    return int(text)
