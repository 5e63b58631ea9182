"""Versions of a served model: folders whose names are numbers."""

import json
import pathlib
import re

# Path in the folder of a version. The server does not read the file.
MODEL_CARD = "assets.extra/model_card.json"
# Batch sizes the server may use, and has requests for in the warm-up file.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
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


def version_path(base_path, version=None):
    """Return the path of a version that does not exist yet.

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
    path = pathlib.Path(base_path, str(version))
    if path.exists():
        raise ValueError(
            "A published version is never overwritten. "
            f"Received: version={version}, which exists in {base_path}. "
            "Omit `version` to use the next number."
        )
    return path


def read_card(version):
    """Read and validate the model card of a version.

    Args:
        version: String or path of the folder of the version.

    Returns:
        Dictionary; empty if there is no card.

    Raises:
        ValueError: if the card is not a JSON object with valid `batch_sizes`.
    """
    path = pathlib.Path(version) / MODEL_CARD
    if not path.exists():
        return {}
    sizes = None
    try:
        card = json.loads(path.read_text(encoding="utf-8-sig"))
        sizes = card["batch_sizes"]
        good = all(type(size) is int and 0 < size < 2**31 for size in sizes)
    except (LookupError, RecursionError, TypeError, ValueError):
        good = False
    if not (good and sizes):
        raise ValueError(
            "`batch_sizes` in a model card must be positive integers. "
            f"Received: {path} with {sizes!r:.100}. Export the model again, or "
            "delete the card."
        )
    return card


def check_model_name(name):
    """Raise a `ValueError` if a server cannot have a model of this name."""
    if not (name and name.isprintable()):
        raise ValueError(
            "The name of a model's folder must be non-empty and printable. "
            f"Received: {name!r}"
        )


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
