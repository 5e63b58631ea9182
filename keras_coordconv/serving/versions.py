"""Versions of a served model: folders whose names are numbers."""

import pathlib
import re

# Path in the folder of a version. The server does not read the file.
MODEL_CARD = "assets.extra/model_card.json"
# The server stores versions as signed 64-bit integers.
MAX_VERSION = 2**63 - 1


def versions(base_path):
    """Return the versions in a folder, in ascending order."""
    base_path = pathlib.Path(base_path)
    paths = base_path.iterdir() if base_path.is_dir() else ()
    # No leading zeros: 007 is not a version.
    return sorted(
        int(path.name)
        for path in paths
        if re.fullmatch("0|[1-9][0-9]*", path.name)
        and int(path.name) <= MAX_VERSION
    )


def next_version(base_path):
    """Return the number after the latest version in a folder."""
    return max(versions(base_path), default=0) + 1


def free_version(base_path, version=None):
    """Return a version that does not exist yet.

    Args:
        base_path: String or path of the folder with all versions.
        version: Positive integer. Defaults to the next version.

    Raises:
        ValueError: if the version is not a positive integer, or if it exists.
    """
    if version is None:
        version = next_version(base_path)
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or not 1 <= version <= MAX_VERSION
    ):
        raise ValueError(
            "`version` must be an integer from 1 to 2^63 - 1. "
            f"Received: version={version!r}"
        )
    if pathlib.Path(base_path, str(version)).exists():
        raise ValueError(
            "A published version is never overwritten. "
            f"Received: version={version}, which exists in {base_path}. "
            "Omit `version` to use the next number."
        )
    return version


def models(folder):
    """Return the versions of all models in a folder, by model name.

    Raises:
        ValueError: if the folder does not exist.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"No models found. Received: {folder}, which is not a folder."
        )
    found = {}
    for path in sorted(folder.iterdir()):
        numbers = [
            number
            for number in versions(path)
            if (path / str(number) / "saved_model.pb").exists()
        ]
        if numbers:
            found[path.name] = numbers
    return found
