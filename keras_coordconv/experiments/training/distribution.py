"""Training on several devices of one machine, or of several machines.

    devices = distribution.start(args.devices)
    with devices.scope():
        model = ...
        model.compile(..., **devices.compile_arguments())
    model.fit(...)

Each device computes an equal share of the batch; the result is the same as with
the whole batch on one device. The TensorFlow backend uses
`tf.distribute.MirroredStrategy` on the devices of one machine. The JAX backend
uses `keras.distribution.DataParallel` on the devices of one machine, or of
several processes that `srun`, `mpirun` or the environment variables
`KERAS_DISTRIBUTION_*` describe.
"""

import contextlib
import dataclasses
import json
import os
import re
import zlib
from collections.abc import Callable

import keras
import numpy as np

from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results

ALL = "all"
KERAS_VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
# In the errors of the libraries that connect JAX's processes.
LOST_PROCESS = re.compile("gloo|nccl|coordination|heartbeat", re.IGNORECASE)
# What JAX needs to find the processes of `srun`.
SLURM_VARIABLES = (
    *("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS"),
    *("SLURM_PROCID", "SLURM_LOCALID"),
)


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices to train on.

    Args:
        count: Integer, number of devices in all processes together.
        processes: Integer, number of processes.
        process_id: Integer, index of this process, starting at 0.
        scope: Callable that returns the context manager to build and compile
            the model in.
        is_mirrored: Boolean, whether a `tf.distribute` strategy is used.
    """

    count: int = 1
    processes: int = 1
    process_id: int = 0
    scope: Callable = contextlib.nullcontext
    is_mirrored: bool = False

    @property
    def is_first_process(self):
        """Whether this process writes files and prints messages."""
        return self.process_id == 0

    def local_batch_size(self, batch_size):
        """Returns the number of examples of a global batch in this process.

        Raises:
            ValueError: if the batch cannot be split evenly among the devices.
        """
        if batch_size % self.count:
            raise ValueError(
                "The batch size must be a multiple of the number of devices. "
                f"Received: a batch of {batch_size} for {self.count} devices"
            )
        return batch_size // self.processes

    def compile_arguments(self):
        """Returns the arguments of `compile` that these devices need."""
        # "auto" would use XLA on GPUs, which the strategy does not support.
        return {"jit_compile": False} if self.is_mirrored else {}

    def check(self, model):
        """Checks that these devices can train a compiled model.

        Raises:
            ValueError: if a `tf.distribute` strategy is used and the model is
                compiled with several steps per execution, gradient accumulation
                or XLA.
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
                    "Several devices on the TensorFlow backend do not support "
                    f"`{name}`. Received: a model compiled with it. Leave it "
                    "out, use one device, or set KERAS_BACKEND=jax."
                )

    def check_same(self, **values):
        """Checks that values are the same in all processes.

        Args:
            **values: Values by name, of types that JSON supports.

        Raises:
            ValueError: in each process, if a value differs between processes.
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
                    "All processes must have the same flags, data and work "
                    f"folder. Received in process {self.process_id}: "
                    f"{name}={values[name]}, which differs in another process."
                )

    def check_same_run(self, run):
        """Checks that all processes agree on the flags and files of a `Run`.

        Raises:
            ValueError: in each process, if they differ between processes.
        """
        self.wait_for_all()
        has_flags = (run.path / "args.json").exists()
        self.check_same(
            flags=flags.training_flags(vars(run.args)),
            work_folder=results.read_flags(run.path) if has_flags else "empty",
            epochs_done=run.epochs_done,
        )

    @contextlib.contextmanager
    def plain_errors(self):
        """Raises JAX's errors about a lost process as one line.

        Raises:
            RuntimeError: in place of an error of the communication.
        """
        try:
            yield
        except (RuntimeError, ValueError) as error:
            is_lost = self.processes > 1 and LOST_PROCESS.search(str(error))
            if not is_lost:
                raise
            raise RuntimeError(
                "Another process ended. Received in process "
                f"{self.process_id}: {str(error).splitlines()[0][:200]}. "
                "Continue with the same command and --resume."
            ) from error

    def wait_for_all(self):
        """Waits until all processes have called this method."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("wait_for_all")


def add_arguments(parser):
    """Adds `--devices`."""
    group = parser.add_argument_group("devices")
    group.add_argument(
        "--devices",
        type=_number_of_devices,
        default=ALL,
        metavar="N|all",
        help="number of devices of this process, chosen by "
        "CUDA_VISIBLE_DEVICES; without a GPU, N parts of the CPU, to try it "
        "out (default: %(default)s)",
    )


def start(devices=ALL):
    """Sets up the devices. Call it before anything uses one.

    Several processes are found in the environment: that of `srun` or `mpirun`,
    where JAX uses one GPU per process, or `KERAS_DISTRIBUTION_JOB_ADDRESSES`,
    `KERAS_DISTRIBUTION_NUM_PROCESSES` and `KERAS_DISTRIBUTION_PROCESS_ID`,
    where it uses all GPUs that a process sees.

    Args:
        devices: Integer or `"all"`, number of devices of this process. Without
            a GPU, `"all"` is the CPU; a number splits it into parts, for tests.

    Returns:
        `Devices`.

    Raises:
        ValueError: if there are not enough devices, if the backend does not
            support several devices, or if the environment variables are
            incomplete.
    """
    processes, arguments = _find_processes()
    backend = keras.backend.backend()
    if backend == "jax":
        return _start_jax(devices, processes, arguments)
    if processes > 1:
        raise ValueError(
            "Several processes need Keras on the JAX backend; no release of "
            "Keras up to 3.15 has data parallelism for PyTorch. "
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


def _find_processes():
    """Finds the processes that train together, in the environment.

    Returns:
        Tuple of their number and the arguments for JAX to connect them; none
        if JAX finds them itself.
    """
    given = {k: os.environ[k] for k in KERAS_VARIABLES if k in os.environ}
    if given:
        addresses, *numbers = (given.get(name, "") for name in KERAS_VARIABLES)
        if not addresses or not all(text.isdecimal() for text in numbers):
            numbers = (0, 0)
        processes, process_id = map(int, numbers)
        if process_id >= processes:
            raise ValueError(
                f"{', '.join(KERAS_VARIABLES)} must be the address of process "
                "0, the number of processes and a smaller number. "
                f"Received: {given}"
            )
        return processes, {
            "coordinator_address": addresses.split(",")[0],
            "num_processes": processes,
            "process_id": process_id,
            # JAX would take one GPU per process where it finds Slurm.
            "cluster_detection_method": "deactivate",
        }
    if "OMPI_COMM_WORLD_SIZE" in os.environ:
        return int(os.environ["OMPI_COMM_WORLD_SIZE"]), {}
    if all(name in os.environ for name in SLURM_VARIABLES):
        return int(os.environ["SLURM_NTASKS"]), {}
    return 1, {}


def _start_tensorflow(devices):
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and devices not in (ALL, 1):
        _split_processor(tf, devices)
    available = [f"GPU:{index}" for index in range(len(gpus))] or [
        f"CPU:{index}" for index in range(1 if devices == ALL else devices)
    ]
    chosen = _choose(available, devices)
    # TensorFlow would also reserve the memory of the other GPUs.
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
                f"Received: devices={count} afterwards"
            ) from None


def _start_jax(devices, processes, arguments):
    import jax
    import tensorflow as tf

    # TensorFlow only reads the images.
    tf.config.set_visible_devices([], "GPU")
    if devices != ALL:
        jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.distributed.initialize(**arguments)
    process_id = jax.process_index()
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
            f"Not enough devices: {count} requested, {len(available)} found "
            f"({', '.join(available)})."
        )
    return available[:count]


def _number_of_devices(text):
    if text == ALL:
        return ALL
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(text)
    return int(text)
