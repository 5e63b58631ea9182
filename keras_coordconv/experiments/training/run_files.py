"""Files in a run's folder. Damaged files raise an error that names the file.

`args.json`, `metrics.json` and each checkpoint's `epoch.json` contain their own
checksum, and other tables than the history one in each row. `epoch.json` also
contains the checksums of the weights next to it and the history up to its
epoch, which must match `history.csv`. A `.keras` file is a zip archive, which
has checksums.
"""

import csv
import io
import json
import pathlib
import zipfile
import zlib

import keras

from keras_coordconv import _files

EPOCH = "epoch.json"
WEIGHTS = ".weights.h5"


def write_json(path, content):
    """Writes a dictionary as JSON, with its checksum as the last entry."""
    _files.write_json(path, _with_checksum(content))


def read_json(path):
    """Reads a dictionary written by `write_json`.

    Files without a checksum are accepted: earlier versions wrote none.

    Args:
        path: `pathlib.Path`.

    Returns:
        Dictionary, without the checksum.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise damaged(path, "it is not a dictionary")
    if not content:
        return content
    name, checksum = content.popitem()
    # The damage may be in the name.
    if (name == _CRC32) != (checksum == _checksum(content)):
        raise damaged(path, "its checksum does not match")
    return content if name == _CRC32 else {**content, name: checksum}


def write_table(path, rows):
    """Writes dictionaries of numbers as CSV, with a checksum in each row.

    It is in the last column, and depends on the number of rows, too.

    Args:
        path: String or path.
        rows: List of dictionaries with the same keys.
    """
    rows = [{name: f"{x}" for name, x in row.items()} for row in rows]
    _files.write_table(
        path,
        [
            {**row, _CRC32: _row_checksum(row, number, len(rows))}
            for number, row in enumerate(rows)
        ],
    )


def read_table(path):
    """Reads a CSV file of numbers, with or without checksums.

    Returns:
        List of dictionaries, one per row, without the empty cells.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ValueError(f"{path} is missing. {_ADVICE}")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restval="missing")
            rows = list(reader)
        # Without rows, `write_table` writes an empty line.
        if not rows and (reader.fieldnames or not path.stat().st_size):
            raise ValueError("it has no rows")
        for number, row in enumerate(rows):
            name, checksum = row.popitem()
            expected = _row_checksum(row, number, len(rows))
            # The damage may be in the name.
            if (name == _CRC32) != (checksum == f"{expected}"):
                raise ValueError(f"row {number + 1} has another checksum")
            if name != _CRC32:
                row[name] = checksum
        return [
            {
                name: int(value) if value.isdecimal() else float(value)
                for name, value in row.items()
                if value
            }
            for row in rows
        ]
    # The surplus cells of a long row are a list.
    except (ValueError, AttributeError, csv.Error) as error:
        raise damaged(path, error) from error


def read_history(folder):
    """Reads `history.csv` in a run's folder; without it, there are no rows."""
    path = pathlib.Path(folder, "history.csv")
    return read_table(path) if path.exists() and path.stat().st_size else []


def check_model(path):
    """Raises a `ValueError` if a `.keras` file is missing or damaged."""
    if not path.exists():
        raise ValueError(f"{path} is missing. {_ADVICE}")
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except PermissionError:
        raise
    except Exception as error:  # Damaged files raise errors of many types.
        raise damaged(path, error) from error
    if part:
        raise damaged(path, f"the checksum of {part} does not match")


def load_model(path, **arguments):
    """Loads the model in a `.keras` file, as `keras.saving.load_model` does.

    Args:
        path: String or path.
        **arguments: Arguments of `keras.saving.load_model`.

    Raises:
        ValueError: if the file is missing or damaged.
    """
    check_model(pathlib.Path(path))
    return keras.saving.load_model(path, **arguments)


def save_model(path, model):
    """Saves a model as a `.keras` file.

    The file is made in memory: on a full disk, HDF5 crashes the process.
    """
    file = _MemoryFile(path)
    model.save(file)
    path.write_bytes(file.getbuffer())


def checkpoint_path(folder, epoch):
    return folder / f"checkpoint-{epoch}"


def save_checkpoint(folder, history, models):
    """Writes the state of models after the last epoch of a history.

    Args:
        folder: `pathlib.Path`, the run's folder.
        history: List of dictionaries, one per epoch.
        models: Dictionary of models by name.
    """
    content = {"history": history, "weights": {}}
    path = checkpoint_path(folder, history[-1]["epoch"])
    with _files.atomic_write(path) as payload:
        payload.mkdir()
        for name, model in models.items():
            file = _MemoryFile(f"{name}{WEIGHTS}")
            model.save_weights(file)
            (payload / str(file)).write_bytes(file.getbuffer())
            content["weights"][name] = zlib.crc32(file.getbuffer())
        text = json.dumps(_with_checksum(content))
        (payload / EPOCH).write_text(text, encoding="utf-8")


def load_checkpoint(path, models):
    """Restores the state of models.

    Args:
        path: `pathlib.Path` of the checkpoint.
        models: Dictionary of models by name.

    Raises:
        ValueError: if the checkpoint is damaged or belongs to other models.
    """
    checksums = read_json(path / EPOCH)["weights"]
    if checksums.keys() != models.keys():
        raise ValueError(
            f"The models do not match the checkpoint {path}, which has "
            f"{sorted(checksums)}. Received: {sorted(models)}."
        )
    for name, model in models.items():
        weights = path / f"{name}{WEIGHTS}"
        if not weights.exists():
            raise ValueError(f"{weights} is missing. {_ADVICE}")
        content = weights.read_bytes()
        if zlib.crc32(content) != checksums[name]:
            raise damaged(weights, "its checksum does not match")
        model.load_weights(_MemoryFile(weights, content))


def has_checkpoint(folder, history):
    """Returns whether a folder has the checkpoint of a history's last epoch.

    There may be none, or an unrelated folder with that name.
    """
    try:
        path = checkpoint_path(folder, history[-1]["epoch"]) / EPOCH
        return read_json(path).get("history") == history
    except (IndexError, OSError, ValueError):
        return False


def epochs_with_checkpoint(folder, history):
    """Returns the number of epochs up to the matching checkpoint, or 0.

    The last epoch of the history may have no checkpoint: the process may have
    been killed between writing the two.

    Args:
        folder: `pathlib.Path`, the run's folder.
        history: List of dictionaries, the rows of `history.csv`.

    Raises:
        ValueError: if a checkpoint has another history, or a longer one.
    """
    for count in (len(history), len(history) - 1):
        if count > 0 and has_checkpoint(folder, history[:count]):
            return count
    for path in sorted(folder.glob(f"checkpoint-*/{EPOCH}")):
        rows = read_json(path).get("history", [])
        for found, row in zip(rows, history, strict=False):
            if found != row:
                raise ValueError(
                    f"{folder / 'history.csv'} is damaged: epoch "
                    f"{found['epoch']} differs from {path}. {_ADVICE}"
                )
        if len(rows) > len(history):
            raise ValueError(
                f"{folder / 'history.csv'} has {len(history)} epochs, but "
                f"{path} has {len(rows)}. {_ADVICE}"
            )
    return 0


def damaged(path, reason):
    """Creates the `ValueError` for a damaged file."""
    return ValueError(f"{path} is damaged ({reason}). {_ADVICE}")


_CRC32 = "crc32"
_ADVICE = "Restore it from a copy, or start a new run in another folder."


class _MemoryFile(io.BytesIO):
    """A file in memory, with a name from which Keras infers the format."""

    def __init__(self, name, content=b""):
        super().__init__(content)
        self._name = str(name)

    def __str__(self):
        return self._name


def _with_checksum(content):
    return {**content, _CRC32: _checksum(content)}


def _row_checksum(row, number, count):
    return _checksum([number, count, row])


def _checksum(content):
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
