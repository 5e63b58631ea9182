"""Runs of a script with many settings, one after another.

Each is a process and has a folder of its own. What was interrupted goes on when
it is started again: runs with metrics.json are done, others are resumed. A run
ends with the process that has started it.
"""

import contextlib
import itertools
import subprocess
import sys

from tqdm import tqdm

# A run saves nothing when it ends early: its last epoch is on the disk.
SECONDS_TO_END = 20


def combinations(product, seeds):
    """All combinations of settings, each with each seed.

    Args:
        product: Dictionary from the name of a flag, without the dashes, to the
            list of its values.
        seeds: List of integers.

    Returns:
        List of dictionaries, the settings of one run each.

    Example:

    >>> combinations({"layer": ["conv", "coordconv"], "epochs": [2]}, [0])
    [{'layer': 'conv', 'epochs': 2, 'seed': 0},
     {'layer': 'coordconv', 'epochs': 2, 'seed': 0}]
    """
    return [
        {**dict(zip(product, values, strict=True)), "seed": seed}
        for values in itertools.product(*product.values())
        for seed in seeds
    ]


def is_done(folder):
    """Whether the run in a folder is finished."""
    return (folder / "metrics.json").exists()


def run_point(script, folder, settings):
    """Runs a script in a folder, or resumes it; what it prints is beside it.

    Args:
        script: Path.
        folder: `pathlib.Path`, its `--workdir`.
        settings: Dictionary of flags, without the dashes, and their values.

    Returns:
        Tuple of the exit status and the path of what it printed.
    """
    flags = [f"--{name}={value}" for name, value in settings.items()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, script, "--resume", f"--workdir={folder}", *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return process.wait(), log
        except BaseException:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
            process.kill()
            process.wait()
            raise


def run_points(points):
    """Runs all points that are not done, whether others fail or not.

    Args:
        points: List of arguments of `run_point`.

    Returns:
        List of paths: what those have printed that failed.
    """
    todo = [point for point in points if not is_done(point[1])]
    print(f"{len(points)} points, {len(points) - len(todo)} of them done")
    failed = []
    # tqdm shows the time left.
    for point in tqdm(todo, unit="point"):
        status, log = run_point(*point)
        if status:
            failed.append(log)
    return failed


def check_all_ended(failed):
    """Raises a `ValueError` if `run_points` says that some failed."""
    if failed:
        raise ValueError(
            f"All points must end well. Received: {len(failed)} that did not, "
            f"the first of them {failed[0]}. Start the same command again to "
            "continue."
        )
