"""What the machine computes fast."""

import os
import pathlib

import keras

_CPU_INFO = pathlib.Path("/proc/cpuinfo")
# The instructions with which oneDNN multiplies bfloat16 matrices.
_BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def has_fast_bfloat16():
    """Returns whether bfloat16 is no slower than float32 here.

    This is the case on GPUs and TPUs, and on CPUs with instructions for it,
    unless oneDNN is turned off. Other CPUs convert each number, which takes
    about ten times as long. Where the instructions of the CPU cannot be read
    (not on Linux), the answer is `False`.
    """
    if _has_accelerator():
        return True
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    if not _CPU_INFO.exists():
        return False
    text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    # "flags: ..." on x86, "Features: ..." on ARM.
    instructions = {
        word
        for line in text.splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    return bool(instructions & _BFLOAT16_INSTRUCTIONS)


def _has_accelerator():
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_physical_devices("GPU")
            or tf.config.list_physical_devices("TPU")
        )
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import torch

    return torch.cuda.is_available()
