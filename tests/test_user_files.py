"""No file of a user is lost, whatever its name, beside all that is written."""

import argparse
import json
import pathlib
import tempfile

import hypothesis
import keras
import numpy as np
import plot
import pytest
import sweep
from hypothesis import strategies as st
from matplotlib.figure import Figure

from keras_coordconv import _files
from keras_coordconv.experiments.training.run import Run
from keras_coordconv.serving import check
from keras_coordconv.serving import export_for_serving
from keras_coordconv.serving import write_config

SCRATCH = f"{_files.PREFIX}{'0123456789abcdef' * 2}"
# The names that this project uses, or used, and names that are close to them.
# The first part of a path is a file or folder beside what is written.
NAMES = (
    *("partial-mine/thesis.txt", "partial-/saved_model.pb", "partial-x"),
    *("checkpoint-0/thesis.txt", "checkpoint-old", "checkpoint-/x"),
    *("checkpoint-01/epoch.json", "checkpoint-1/model.weights.h5"),
    *("checkpoint-2/epoch.json", "checkpoint-99/epoch.json", "checkpoint-³/x"),
    *("args.json", "history.csv", "metrics.json", "model.keras"),
    *("figures/a.png", "figures2/a.png"),
    *("model.keras.tmp", "history.csv~", "args.json.bak", ".DS_Store", "log"),
    *("1", "2/saved_model.pb", "007/saved_model.pb", "0/saved_model.pb"),
    *("models.config.bak", "batching.config.old", "model.keras", "table.csv"),
    *("tmp/x", "tmpabcdefgh/x", ".tmp", "payload/x", "scores.png", "a.lock"),
    # Scratch folders without the proof, and with another's.
    *(f"{SCRATCH}/thesis.txt", f"{SCRATCH}/payload/thesis.txt"),
    *(f"{SCRATCH}/{SCRATCH}", f"{SCRATCH}0/{SCRATCH}", f"{SCRATCH[:-1]}/x"),
    *(f"{_files.PREFIX}/x", f"{_files.PREFIX}mine"),
    *(f"{_files.PREFIX}{32 * 'g'}/x", f"{_files.PREFIX}{32 * '0'}"),
)
random_names = st.text(
    st.characters(exclude_categories=["C"], exclude_characters="/"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", ".."))
names = st.one_of(
    st.sampled_from(NAMES),
    random_names,
    st.tuples(random_names, random_names).map("/".join),
    random_names.map(lambda name: f"checkpoint-{name}"),
    random_names.map(lambda name: f"{_files.PREFIX}{name}/x"),
)
users_files = st.dictionaries(
    names,
    st.sampled_from([b"", b"{}", b"1\n", _files.MARK + b"mine", b"\xff\0"]),
    max_size=12,
)


def properties(examples):
    return hypothesis.settings(max_examples=examples, deadline=None)


class Folder:
    """A new folder in which a user has put files."""

    def __init__(self, users_files, taken=()):
        """Leaves out those of which the first part of the path is taken."""
        self._temporary = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self._temporary.name)
        self.contents = {}
        for name, content in users_files.items():
            path = self.path / name
            if name.split("/")[0] in taken or path.exists():
                continue
            if path.name == path.parent.name == SCRATCH and not content:
                continue  # So does one of our own begin.
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            except OSError:
                # A parent is a file, or the name is too long in UTF-8.
                continue
            self.contents[path] = content

    def names(self):
        return {path.relative_to(self.path).parts[0] for path in self.contents}

    def check(self, *written):
        """The user's files are as they were; else there is what we wrote."""
        for path, content in self.contents.items():
            assert path.read_bytes() == content, path
        beside = {path.name for path in self.path.iterdir()} - self.names()
        assert beside == set(written)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._temporary.cleanup()


@properties(40)
@hypothesis.given(users_files)
@hypothesis.example(dict.fromkeys(NAMES, b"mine"))
@hypothesis.example({f"{SCRATCH}/{SCRATCH}": _files.MARK + b"mine"})
def test_files(users_files):
    written = ["text", "metrics", "table", "folder", "figure.svg"]
    with Folder(users_files, taken=written) as folder:
        for _ in range(2):
            _files.write_text(folder.path / "text", "x")
            _files.write_json(folder.path / "metrics", {})
            _files.write_table(folder.path / "table", [{"a": 1}])
        with _files.atomic_write(folder.path / "folder") as payload:
            payload.mkdir()
        _files.write_figure(folder.path / "figure.svg", Figure())
        folder.check(*written)


def train(folder, epochs, resume=False):
    args = argparse.Namespace(
        workdir=str(folder),
        resume=resume,
        seed=0,
        dtype_policy="float32",
        tensorboard=None,
    )
    run = Run("toy", args)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    run.track(model)
    for epoch in run.epochs(epochs):
        model.set_weights([np.full(w.shape, epoch) for w in model.weights])
        run.end_epoch({"loss": 1 / epoch})
    run.save_figure("scores", Figure(figsize=(1, 1)))
    run.finish({})
    return run


RUN = ["args.json", "history.csv", "metrics.json", "model.keras", "figures"]
CHECKPOINTS = ["checkpoint-1", "checkpoint-2"]
BESIDE = [n for n in NAMES if n.split("/")[0] not in (*RUN, *CHECKPOINTS)]


@properties(12)
@hypothesis.given(users_files)
@hypothesis.example(dict.fromkeys(NAMES, b"{}"))
@hypothesis.example(dict.fromkeys(BESIDE, b"mine"))
def test_run(users_files):
    """A run is refused where a user has what it writes, or leaves it alone."""
    with Folder(users_files) as folder:
        if folder.names() & {*RUN}:
            with pytest.raises(ValueError, match="already contains a run"):
                train(folder.path, 2)
            folder.check()
        elif folder.names() & {*CHECKPOINTS}:
            with pytest.raises(ValueError, match="not a checkpoint of this"):
                train(folder.path, 2)
            folder.check("args.json")
        else:
            train(folder.path, 2)
            folder.check(*RUN, "checkpoint-2")
            if folder.names() & {"checkpoint-3", "checkpoint-4"}:
                return
            run = train(folder.path, 4, resume=True)
            folder.check(*RUN, "checkpoint-4")
            assert [row["epoch"] for row in run.history] == [1, 2, 3, 4]


def export(folder):
    inputs = keras.Input((2,), name="numbers")
    return export_for_serving(keras.Model(inputs, 2 * inputs), folder)


@pytest.mark.tensorflow_backend
def test_exported_versions(monkeypatch):
    monkeypatch.setattr(check, "predict_in_fresh_process", check.predict)
    with Folder(dict.fromkeys(NAMES, b"mine")) as folder:
        # 1 and 2 are the user's, 007 is no version.
        for number in ("3", "4"):
            assert export(folder.path) == folder.path / number
        folder.check("3", "4")


@properties(20)
@hypothesis.given(users_files)
@hypothesis.example(dict.fromkeys(NAMES, b"mine"))
def test_server_configuration(users_files):
    """Beside the models, beside the versions, and in a version."""
    pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    written = ["models.config", "batching.config"]
    own = ["photos", "1", "batching_params.pbtxt", "saved_model.pb"]
    everywhere = {
        f"{parent}{name}": content
        for name, content in users_files.items()
        if name.split("/")[0] not in (*own, *written, "assets.extra")
        for parent in ("", "photos/", "photos/1/")
    }
    model = {"photos/1/saved_model.pb": b""}
    with Folder({**model, **everywhere}) as folder:
        write_config(folder.path)
        folder.check(*written)
        assert (folder.path / "photos/1/batching_params.pbtxt").exists()


def test_scripts(monkeypatch):
    """A figure beside the runs, and the table of a sweep."""
    run = {
        "args.json": b'{"layer": "conv", "split": "uniform"}',
        "history.csv": b"epoch,seconds,val_iou\n1,2.0,0.1\n",
        "metrics.json": json.dumps(
            {"seconds": 1, "train_iou": 0.5, "test_iou": 0.4}
        ).encode(),
    }
    flags = ["rendering", "--grid", "test", "--workdir", "."]
    args = sweep.build_parser().parse_args(flags)
    (_, settings), *_ = sweep.grid_points(args)
    users_files = {
        f"{folder}/{name}": content
        for folder in (
            "partial-run",
            "checkpoint-1",
            sweep.point_folder(args, "rendering", settings),
        )
        for name, content in run.items()
    }
    users_files |= dict.fromkeys(NAMES, b"mine")
    with Folder(users_files, taken=["scores.png", "table.csv"]) as folder:
        monkeypatch.chdir(folder.path)
        plot.main(["scores", "partial-run", "checkpoint-1"])
        sweep.main([*flags, "--table"])
        folder.check("scores.png", "table.csv")
