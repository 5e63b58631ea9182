"""Shared by the benchmarks: measurements in turns, ratios, the results file.

output = benchmarking.make_output(args)
seconds = benchmarking.measure_in_turns({"a": ..., "b": ...}, args.turns)
rows = [
    {"ratio": benchmarking.median_ratio(seconds[name], seconds["a"])}
    for name in seconds
]
benchmarking.write_results(output, args, rows)
"""

import os
import pathlib
import platform
import time

import keras
import numpy as np
from tqdm import tqdm

from keras_coordconv import _files
from keras_coordconv.experiments.training import flags


def add_flags(parser, name, turns):
    """Adds `--turns` and `--output`.

    Args:
        parser: A `flags.Parser`.
        name: String, the script's name.
        turns: Integer, the default of `--turns`.
    """
    parser.add_argument(
        "--turns",
        type=flags.positive_integer,
        default=turns,
        help="number of measurements of each (default: %(default)s)",
    )
    add_output(parser, name)


def add_output(parser, name):
    """Adds `--output`.

    Args:
        parser: A `flags.Parser`.
        name: String, the script's name.
    """
    parser.add_argument(
        "--output",
        default=f"runs/{name}",
        help="folder for results.json (default: %(default)s)",
    )


def make_output(args):
    """Makes the folder for the results, before anything is measured."""
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    return output


def timed(call):
    """Returns a function that makes a call and returns the seconds it took."""

    def seconds():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return seconds


def measure_in_turns(measurements, turns, seed=None):
    """Measures in turns, so that background load affects all of them equally.

    Args:
        measurements: Dictionary of functions without arguments by name. Each
            returns a number, or a tuple of numbers.
        turns: Integer, number of measurements of each.
        seed: Integer, for a new random order in each turn; `None` for the
            order of the dictionary.

    Returns:
        Dictionary from each name to an array of shape `(turns,)` or
        `(turns, numbers)`.
    """
    random = np.random.default_rng(seed)
    order = list(measurements)
    found = {name: [] for name in order}
    for _ in tqdm(range(turns), desc="turns", leave=False):
        if seed is not None:
            random.shuffle(order)
        for name in order:
            found[name].append(measurements[name]())
    return {name: np.array(values) for name, values in found.items()}


def median_ratio(values, reference):
    """Computes the median of the ratios to the reference in the same turn.

    Args:
        values, reference: Arrays from `measure_in_turns`.

    Returns:
        Float, or a list with one for each number of the measurements.
    """
    return np.median(values / reference, axis=0).tolist()


def machine():
    """Describes the CPU, and the devices of JAX if there are any."""
    names = [f"{platform.machine()}, {os.cpu_count()} cores"]
    if keras.backend.backend() == "jax":
        import jax

        names += [device.device_kind for device in jax.devices()]
    return ", ".join(names)


def write_results(output, args, rows, **others):
    """Writes results.json: the rows, and everything they depend on.

    Args:
        output: Path of the folder, from `make_output`.
        args: Flags of the benchmark.
        rows: List of dictionaries.
        **others: Other entries to write, by name.

    Returns:
        Dictionary, the content of the file.
    """
    arguments = {k: v for k, v in vars(args).items() if k != "output"}
    results = {
        "arguments": arguments,
        "machine": machine(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        **others,
        "rows": rows,
    }
    path = output / "results.json"
    _files.write_json(path, results)
    print(f"written: {path}")
    return results
