"""The versions of a served model: folders named by numbers."""

import pathlib
import re

# Within a version's folder; the server does not read it.
MODEL_CARD = "assets.extra/model_card.json"
# The server holds versions as signed integers of 64 bits.
MAX_VERSION = 2**63 - 1


def versions(base_path):
    """The versions below a folder, ascending."""
    base_path = pathlib.Path(base_path)
    paths = base_path.iterdir() if base_path.is_dir() else ()
    # As `str` writes numbers: 007 is no version.
    return sorted(
        int(path.name)
        for path in paths
        if re.fullmatch("0|[1-9][0-9]*", path.name)
        and int(path.name) <= MAX_VERSION
    )


def next_version(base_path):
    """The number after the highest version below a folder."""
    return max(versions(base_path), default=0) + 1


def free_version(base_path, version=None):
    """A version that does not exist yet.

    Args:
        base_path: String or path, the folder of all versions.
        version: Positive integer. Defaults to the next one.

    Raises:
        ValueError: if the version is not a positive integer, or exists.
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
            "A published version is never changed. "
            f"Received: version={version}, which {base_path} has. "
            "Leave `version` out to get the next one."
        )
    return version


def models(folder):
    """The versions of each model below a folder, by the model's name.

    Raises:
        ValueError: if there is no such folder.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(
            f"A folder to serve must be a folder. Received: {folder}"
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
