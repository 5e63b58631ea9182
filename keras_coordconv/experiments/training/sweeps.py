"""Runs of a script with many settings, one after another.

Each run is a process with its own folder. To continue an interrupted sweep,
start it again: runs with metrics.json are done, others are resumed. A run ends
with the process that started it.
"""

import contextlib
import itertools
import subprocess
import sys

from tqdm import tqdm

# A run that is ended early saves nothing more: its last epoch is on disk.
SECONDS_TO_END = 20


def combinations(product, seeds):
    """Lists all combinations of settings and seeds.

    Args:
        product: Dictionary from the name of a flag, without dashes, to a list
            of values.
        seeds: List of integers.

    Returns:
        List of dictionaries, the settings of each run.

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


def flags_of(settings):
    """Lists the command-line arguments of settings.

    Args:
        settings: Dictionary from the name of a flag, without dashes, to its
            value, or to a tuple of several values.

    Example:

    >>> flags_of({"seed": 1, "coordinates": ("none", "world")})
    ['--seed', '1', '--coordinates', 'none', 'world']
    """
    flags = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        flags += [f"--{name}", *map(str, values)]
    return flags


def is_done(folder):
    """Returns whether the run in a folder is finished."""
    return (folder / "metrics.json").exists()


def run_point(script, folder, settings):
    """Starts or resumes a run. Its output is written to a log next to it.

    Args:
        script: Path of the script.
        folder: `pathlib.Path`, the run's `--workdir`.
        settings: Dictionary of settings, as for `flags_of`.

    Returns:
        Pair of the exit status and the path of the log.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                script,
                "--resume",
                f"--workdir={folder}",
                *flags_of(settings),
            ],
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
    """Runs all points that are not done, even if some of them fail.

    Args:
        points: List of arguments of `run_point`.

    Returns:
        List of paths, the logs of the runs that failed.
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


def check_all_succeeded(failed):
    """Raises a `ValueError` if `run_points` reports failed runs."""
    if failed:
        raise ValueError(
            f"Failed points: {len(failed)}. The first log is {failed[0]}. "
            "Start the same command again to continue."
        )
