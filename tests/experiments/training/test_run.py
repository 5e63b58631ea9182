"""What a run writes and restores; test_killed.py kills some."""

import argparse
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_coordconv.experiments.training import distribution
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.run import Run


def flags(workdir, resume=False, **others):
    return argparse.Namespace(
        workdir=None if workdir is None else str(workdir),
        resume=resume,
        seed=0,
        dtype_policy="float32",
        tensorboard=None,
        **others,
    )


def small_model(optimizer=None):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer or keras.optimizers.Adam(0.1), "mse")
    return model


INPUTS = np.arange(16.0).reshape(8, 2) / 16
TARGETS = INPUTS.sum(axis=-1, keepdims=True)


def train(run, epochs, model=None):
    model = model or small_model()
    run.fit(model, INPUTS, epochs, y=TARGETS, batch_size=4)
    return model


def record_epochs(run, *logs, model=None):
    """Epochs of which the weights are all their number."""
    model = model or small_model()
    run.track(model)
    for epoch, log in zip(run.epochs(len(logs)), logs, strict=True):
        model.set_weights([np.full(w.shape, epoch) for w in model.weights])
        run.end_epoch(log)
    return model


def read_history(run):
    with (run.path / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def check_equal(*weights):
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_a_run_writes(tmp_path, capsys):
    from matplotlib.figure import Figure

    run = Run("toy", flags(tmp_path / "run", width=3))
    model = train(run, epochs=3)
    run.save_figure("empty", Figure())
    data = tf.data.Dataset.from_tensors((INPUTS, TARGETS))
    loss = np.mean((model.predict(INPUTS) - TARGETS) ** 2)
    assert run.evaluate(model, test=data) == {"test_loss": pytest.approx(loss)}
    metrics = run.finish({"test_loss": 0.5, "seconds_to_perfect": None})
    assert metrics == {
        "seconds": run.seconds,
        "parameters": 3,
        "test_loss": 0.5,
    }
    assert results.read_metrics(run.path) == metrics
    assert run_files.read_json(run.path / "args.json") == {
        "workdir": str(run.path),
        "seed": 0,
        "dtype_policy": "float32",
        "tensorboard": None,
        "width": 3,
        "environment": {
            "tensorflow": {
                "backend": "tensorflow",
                "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1",
            },
            "jax": {"backend": "jax"},
        }[keras.backend.backend()],
    }
    rows = read_history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    losses = [float(row["loss"]) for row in rows]
    assert len(set(losses)) == 3
    seconds = [float(row["seconds"]) for row in rows]
    assert 0 <= seconds[0] <= seconds[1] <= seconds[2] == run.seconds
    printed = capsys.readouterr().out.splitlines()
    assert [
        line.removeprefix(f"written: {run.path}/") for line in printed[-5:]
    ] == [
        "args.json",
        "figures/empty.png",
        "history.csv",
        "metrics.json",
        "model.keras",
    ]
    check_equal(run.trained_model().get_weights(), model.get_weights())


def test_trained_model_is_that_of_the_last_epoch(tmp_path):
    run = Run("toy", flags(tmp_path))
    record_epochs(run, {"loss": 3.0}, {"loss": 1.0}, {"loss": 2.0})
    assert (run.trained_model().get_weights()[0] == 3).all()


def test_resumed_run_goes_on(tmp_path):
    """With Adam's moments, its step count and the time of training."""
    expected = train(Run("toy", flags(tmp_path / "whole")), epochs=6)
    train(Run("toy", flags(tmp_path / "parts")), epochs=2)
    run = Run("toy", flags(tmp_path / "parts", resume=True))
    assert run.epochs_done == 2 and len(run.history) == 2 and run.seconds > 0
    model = train(run, epochs=6)
    check_equal(model.get_weights(), expected.get_weights())
    assert int(model.optimizer.iterations) == 12
    seconds = [float(row["seconds"]) for row in read_history(run)]
    assert seconds == sorted(seconds)


def test_random_numbers_depend_on_seed_and_epoch(tmp_path):
    def draw(path, seed, resume=False):
        args = flags(tmp_path / path, resume=resume)
        args.seed = seed
        run = Run("toy", args)
        model = keras.Sequential([keras.Input((9,)), keras.layers.Dropout(0.5)])
        run.track(model)
        drawn = {}
        for epoch in run.epochs(3):
            drawn[epoch] = (
                np.random.normal(),
                float(keras.random.normal(())),
                float(np.sum(model(np.eye(9), training=True) * np.arange(9))),
            )
            if epoch == 2 and not resume:
                return drawn
            run.end_epoch({"loss": 0.0})
        return drawn

    first = draw("a", seed=1)
    assert draw("b", seed=1) == first
    resumed = draw("a", seed=1, resume=True)
    assert resumed[2] == first[2]
    for others in (first[1], resumed[3], draw("c", seed=2)[2]):
        assert not set(others) & set(first[2])


def test_card_has_what_changes_the_training(tmp_path, monkeypatch):
    cards = []
    monkeypatch.setattr(
        "keras_coordconv.serving.export_for_serving",
        lambda model, path, card, labels: cards.append((path, labels, card)),
    )
    run = Run("toy", flags(tmp_path, width=2, export_dir="out"))
    run.export(None, {"loss": 0.5}, labels=["a"])
    card = {
        "task": "toy",
        "seed": 0,
        "dtype_policy": "float32",
        "width": 2,
        "metrics": {"loss": 0.5},
    }
    assert cards == [("out", ["a"], card)]


def test_folder_with_a_run_is_not_overwritten(tmp_path):
    train(Run("toy", flags(tmp_path)), epochs=1)
    with pytest.raises(ValueError, match=r"contains a run.*Received.*--resume"):
        Run("toy", flags(tmp_path))


@pytest.mark.parametrize(
    "name", ["args.json", "history.csv", "model.keras", "metrics.json"]
)
def test_folder_with_files_of_a_run_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"which has {name}"):
        Run("toy", flags(tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_checkpoints_of_others_are_left_alone(tmp_path, capsys):
    train(Run("toy", flags(tmp_path / "other")), epochs=3)
    path = tmp_path / "run"
    train(Run("toy", flags(path)), epochs=2)
    foreign = [path / f"checkpoint-{n}" for n in ("0", "01", "old", "99", "1")]
    for copy in foreign[:-1]:
        shutil.copytree(path / "checkpoint-2", copy)
    # That of the next epoch but one, in the place of an earlier one.
    shutil.copytree(tmp_path / "other" / "checkpoint-3", foreign[-1])
    (path / ".DS_Store").touch()
    (path / "checkpoint-2" / ".DS_Store").touch()
    run = Run("toy", flags(path, resume=True))
    assert run.epochs_done == 2
    train(run, epochs=4)
    assert {path.name for path in path.glob("checkpoint-*")} == {
        "checkpoint-2",
        "checkpoint-4",
        *(copy.name for copy in foreign),
    }
    assert [p.name for p in path.glob("checkpoint-2/*")] == [".DS_Store"]
    for copy in foreign:
        assert len(list(copy.iterdir())) == 2
    capsys.readouterr()
    run.finish({})
    written = capsys.readouterr().out.count("written: ")
    assert written == len([p for p in path.iterdir() if p.suffix]) == 4


def test_checkpoint_in_the_way(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    with pytest.raises(ValueError, match=r"checkpoint-3 is not .* this run"):
        train(Run("toy", flags(tmp_path)), epochs=3)
    (tmp_path / "checkpoint-3").rename(tmp_path / "mine")
    train(Run("toy", flags(tmp_path, resume=True)), epochs=3)
    assert (tmp_path / "checkpoint-3" / "model.weights.h5").exists()


def test_killed_before_the_last_checkpoint_was_removed(tmp_path, monkeypatch):
    unlink = pathlib.Path.unlink

    def kill(path, *args, **kwargs):
        if path.parent.name == "checkpoint-1":
            raise KeyboardInterrupt
        unlink(path, *args, **kwargs)

    monkeypatch.setattr(pathlib.Path, "unlink", kill)
    with pytest.raises(KeyboardInterrupt):
        train(Run("toy", flags(tmp_path)), epochs=3)
    assert len(list(tmp_path.glob("checkpoint-*/*"))) == 4
    monkeypatch.undo()
    run = Run("toy", flags(tmp_path, resume=True))
    assert run.epochs_done == 2
    train(run, epochs=2)
    assert [p.name for p in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("rm history.csv", "history.csv has 0 epochs, .*checkpoint-3.* has 3"),
        (
            "head -n 3 history.csv > h && mv h history.csv",
            "history.csv has 2 epochs, but .*checkpoint-3/epoch.json has 3",
        ),
        ("truncate -s 0 history.csv", "history.csv has 0 epochs, but .* has 3"),
        ("rm -r checkpoint-3", "3 epochs, but no .*found: no checkpoint"),
        ("rm checkpoint-3/epoch.json", "3 epochs, but no .*: checkpoint-3"),
        ("mv checkpoint-3 checkpoint-2", "3 epochs, but no .*: checkpoint-"),
        ("rm model.keras", "model.keras is missing"),
        ("sed -i s/^2/3/ history.csv", "history.csv is damaged: epoch 2"),
        ("sed -i s/^2,/2,9/ history.csv", "history.csv is damaged: epoch 2"),
        ("sed -i s/^2,/2\\;/ history.csv", "history.csv is damaged .could not"),
        ("rm checkpoint-3/*.h5", "model.weights.h5 is missing"),
    ],
)
def test_history_without_its_checkpoint(tmp_path, monkeypatch, damage, message):
    """It would begin again, and write over what is left."""
    train(Run("toy", flags(tmp_path)), epochs=3)
    monkeypatch.chdir(tmp_path)
    subprocess.run(damage, shell=True, check=True)
    with pytest.raises(ValueError, match=message):
        train(Run("toy", flags(tmp_path, resume=True)), epochs=4)


def test_other_models_than_before(tmp_path):
    run = Run("toy", flags(tmp_path))
    run.track(small_model(), second=small_model())
    for _ in run.epochs(1):
        run.end_epoch({"loss": 1.0})
    run = Run("toy", flags(tmp_path, resume=True))
    with pytest.raises(ValueError, match=r"has .*second.*\['model'\]"):
        run.track(small_model())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_divergence_keeps_the_last_good_state(tmp_path, value):
    run = Run("toy", flags(tmp_path))
    with pytest.raises(ValueError, match=r"diverged: score=.* epoch 2"):
        record_epochs(run, {"loss": 2.0}, {"loss": 1.0, "score": value})
    assert len(read_history(run)) == 1
    run = Run("toy", flags(tmp_path, resume=True))
    assert run.epochs_done == 1
    model = small_model()
    run.track(model)
    assert (model.get_weights()[0] == 1).all()


def test_epoch_without_an_end(tmp_path):
    run = Run("toy", flags(tmp_path))
    with pytest.raises(RuntimeError, match="at the end of each epoch"):
        list(run.epochs(2))


@pytest.mark.tensorflow_backend
def test_resumed_with_other_kernels(tmp_path, monkeypatch, capsys):
    """One line says that the digits will differ; the run continues."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    record_epochs(Run("toy", flags(tmp_path)), {"loss": 1.0})
    Run("toy", flags(tmp_path, resume=True))
    assert "environment" not in capsys.readouterr().out
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    for _ in range(2):
        Run("toy", flags(tmp_path, resume=True))
        printed = capsys.readouterr().out.splitlines()
        assert printed[-1].endswith(": onednn was True and is False")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    Run("toy", flags(tmp_path, resume=True))
    assert "onednn was True and is None" in capsys.readouterr().out
    args = json.loads((tmp_path / "args.json").read_text())
    assert args["environment"]["onednn"] is True


def test_history_with_a_column_that_comes_later(tmp_path):
    record_epochs(
        Run("toy", flags(tmp_path)), {"loss": 1.0}, {"loss": 0.5, "top": 0.5}
    )
    run = Run("toy", flags(tmp_path, resume=True))
    assert "top" not in run.history[0]
    assert run.history[1]["top"] == 0.5


def test_numbered_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in ("001", "002"):
        run = Run("toy", flags(None))
        assert str(run.path) == os.path.join("runs", "toy", number)
        written = json.loads((run.path / "args.json").read_text())
        assert written["workdir"] == str(run.path)


OTHER_PROCESS = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_another_process_is_training(tmp_path, resume):
    if resume:
        train(Run("toy", flags(tmp_path)), epochs=1)
    with Run("toy", flags(tmp_path, resume=resume)) as run:
        train(run, epochs=2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS, tmp_path], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(ValueError, match="being trained by another process"):
        Run("toy", flags(tmp_path, resume=True))
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert after == before
    process.kill()
    process.communicate()
    assert Run("toy", flags(tmp_path, resume=True)).epochs_done == 2


@pytest.mark.parametrize("damage", ["rm -r run", "mv run moved"])
@pytest.mark.parametrize("then", ["true", "mkdir run", "cp -r copy run"])
def test_folder_that_is_deleted_or_moved(tmp_path, monkeypatch, damage, then):
    """It is not made anew, and what is in its place is not overwritten."""
    monkeypatch.chdir(tmp_path)
    record_epochs(Run("toy", flags("copy")), {"loss": 1.0})
    run = Run("toy", flags("run"))
    model = small_model()
    run.track(model)
    with pytest.raises(ValueError, match="folder run was deleted or moved"):
        for epoch in run.epochs(3):
            if epoch == 2:
                subprocess.run(f"{damage}; {then}", shell=True, check=True)
                before = sorted(tmp_path.rglob("*"))
            run.end_epoch({"loss": 1 / epoch})
    for write in (
        lambda: run.save_figure("empty", None),
        lambda: run.finish({}),
        lambda: run.output("games.csv"),
    ):
        with pytest.raises(ValueError, match="folder run was deleted or moved"):
            write()
    assert sorted(tmp_path.rglob("*")) == before
    if damage == "mv run moved":
        assert Run("toy", flags("moved", resume=True)).epochs_done == 1


def test_resume_starts_a_run(tmp_path):
    """The same command starts a run and continues it."""
    for epochs in (2, 4):
        run = Run("toy", flags(tmp_path / "run", resume=True))
        assert run.epochs_done == epochs - 2
        train(run, epochs)
    assert [row["epoch"] for row in read_history(run)] == list("1234")


def test_resume_without_the_flags_of_the_run(tmp_path):
    train(Run("toy", flags(tmp_path)), epochs=1)
    (tmp_path / "args.json").unlink()
    with pytest.raises(ValueError, match=r"has history.csv.*Use another"):
        Run("toy", flags(tmp_path, resume=True))
    assert not (tmp_path / "args.json").exists()


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in ("file/run", "file"):
        with pytest.raises(OSError, match="file"):
            Run("toy", flags(tmp_path / path))


def test_moving_averages_below_a_scaled_loss(tmp_path):
    """At the end of `fit`, Keras itself puts them into the model."""
    run = Run("toy", flags(tmp_path))
    keras.config.set_dtype_policy("mixed_float16")
    model = small_model(keras.optimizers.SGD(0.1, use_ema=True))
    train(run, 1, model)
    check_equal(run.trained_model().get_weights(), model.get_weights())


def test_trained_model_has_the_moving_averages(tmp_path):
    """The checkpoint has the weights themselves, to go on with."""
    run = Run("toy", flags(tmp_path))
    model = small_model(keras.optimizers.SGD(0.1, use_ema=True))
    seen = []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights())

    run.fit(model, INPUTS, 1, [Weights()], y=TARGETS, batch_size=2)
    # Keras begins the averages at the first weights it sees, after a step.
    averages = seen[0]
    for weights in seen[1:]:
        averages = [
            0.99 * average + 0.01 * weight
            for average, weight in zip(averages, weights, strict=True)
        ]
    trained = run.trained_model()
    for found, average, last in zip(
        trained.get_weights(), averages, seen[-1], strict=True
    ):
        np.testing.assert_allclose(found, average, rtol=1e-5)
        assert np.abs(average - last).max() > 1e-3
    resumed = small_model(keras.optimizers.SGD(0.1, use_ema=True))
    Run("toy", flags(tmp_path, resume=True)).track(resumed)
    check_equal(resumed.get_weights(), seen[-1])


def test_one_of_several_processes_only_reads(tmp_path, capsys):
    train(Run("toy", flags(tmp_path / "run")), epochs=2)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}

    class SecondProcess(distribution.Devices):
        is_first_process = False

    capsys.readouterr()
    args = flags(tmp_path / "run", resume=True)
    second = Run("toy", args, devices=SecondProcess())
    assert second.epochs_done == 2
    train(second, epochs=4)
    second.finish({})
    assert [row["epoch"] for row in second.history] == [1, 2, 3, 4]
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert after == before
    assert capsys.readouterr().out == ""
    new = Run("toy", flags(tmp_path / "new"), devices=SecondProcess())
    train(new, epochs=1)
    assert not new.path.exists()


@pytest.mark.parametrize("with_fit", [True, False])
def test_tensorboard(tmp_path, with_fit):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    args = flags(tmp_path / "run")
    args.tensorboard = str(tmp_path / "logs")
    run = Run("toy", args)
    if with_fit:
        train(run, epochs=2)
    else:
        record_epochs(run, {"loss": 2.0}, {"loss": 1.0})
    run.finish({})
    events = event_accumulator.EventAccumulator(f"{args.tensorboard}/train")
    events.Reload()
    losses = [
        float(tf.make_ndarray(event.tensor_proto))
        for event in events.Tensors("epoch_loss")
    ]
    assert losses == pytest.approx([row["loss"] for row in run.history])


GAMES = [
    {"epoch": 1, "steps": 96, "return": 9.5},
    {"epoch": 1, "steps": 112, "return": -0.25},
    {"epoch": 2, "steps": 240, "return": 1e-07},
]


def test_table_with_checksums(tmp_path):
    path = tmp_path / "games.csv"
    for rows in (GAMES, GAMES[:1], []):
        run_files.write_table(path, rows)
        assert run_files.read_table(path) == rows
    # Tables of earlier versions have none.
    path.write_text("epoch,steps\n1,96\n2,3.5\n")
    assert run_files.read_table(path) == [
        {"epoch": 1, "steps": 96},
        {"epoch": 2, "steps": 3.5},
    ]


@pytest.mark.parametrize("start", range(0, 8))
def test_flipped_bits_of_a_table(tmp_path, start):
    """Each bit of the file, in eight parts."""
    path = tmp_path / "games.csv"
    run_files.write_table(path, GAMES)
    whole = path.read_bytes()
    for bit in range(start, 8 * len(whole), 8):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            # Another line end, as `\n` without `\r`, changes nothing.
            assert run_files.read_table(path) == GAMES, bytes(content)
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged")


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [],
        lambda lines: lines[:1],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [*lines[:1], *lines[:0:-1]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: (
            [line.rpartition(b",")[0] + b"\n" for line in lines[:2]] + lines[2:]
        ),
        lambda lines: [lines[0], *[line[:-8] for line in lines[1:]]],
    ],
)
def test_damaged_tables(tmp_path, damage):
    path = tmp_path / "games.csv"
    run_files.write_table(path, GAMES)
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(True))))
    with pytest.raises(ValueError, match=r"games\.csv is damaged \("):
        run_files.read_table(path)


def test_missing_table(tmp_path):
    with pytest.raises(ValueError, match=r"games\.csv is missing\. Restore"):
        run_files.read_table(tmp_path / "games.csv")
