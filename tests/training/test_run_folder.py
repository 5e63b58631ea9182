import csv
import json

import keras
import numpy as np
import pytest

from keras_coordconv.training.run_folder import RunFolder


def small_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def train(run, epochs, model=None):
    model = model or small_model()
    run.restore(model)
    inputs = np.arange(16.0).reshape(8, 2) / 16
    model.fit(
        inputs,
        inputs.sum(axis=-1, keepdims=True),
        batch_size=4,
        shuffle=False,
        epochs=epochs,
        initial_epoch=run.epochs_done,
        callbacks=[run.callback()],
        verbose=0,
    )
    return model


def read_history(run):
    with (run.path / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_a_run_writes(tmp_path):
    run = RunFolder(tmp_path / "run", {"seed": 3})
    model = train(run, epochs=3)
    run.write_metrics({"seconds": run.seconds})
    assert json.loads((run.path / "args.json").read_text()) == {"seed": 3}
    history = read_history(run)
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    losses = [float(row["loss"]) for row in history]
    assert losses[0] > losses[1] > losses[2]
    seconds = [float(row["seconds"]) for row in history]
    assert 0 <= seconds[0] <= seconds[1] <= seconds[2] == run.seconds
    assert [path.name for path in run.written()] == [
        "args.json",
        "best.keras",
        "history.csv",
        "metrics.json",
    ]
    for own, other in zip(
        run.load_best_model().get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(own, other)


def test_best_model_is_that_of_the_lowest_loss(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    for epoch, loss in enumerate((3.0, 1.0, 2.0), start=1):
        model.set_weights([np.full(w.shape, epoch) for w in model.weights])
        run.record_epoch(model, epoch, seconds=1.0, logs={"loss": loss})
    assert (run.load_best_model().get_weights()[0] == 2).all()


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    keras.utils.set_random_seed(0)
    whole = RunFolder(tmp_path / "whole", {})
    expected = train(whole, epochs=6)
    keras.utils.set_random_seed(0)
    train(RunFolder(tmp_path / "parts", {}), epochs=2)
    run = RunFolder(tmp_path / "parts", {}, resume=True)
    model = train(run, epochs=6)
    # Adam's moments and step count are restored as well as the weights.
    for own, other in zip(
        model.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_allclose(own, other, rtol=1e-6)
    losses = [
        [float(row["loss"]) for row in read_history(r)] for r in (run, whole)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    seconds = [float(row["seconds"]) for row in read_history(run)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("killed_in", ["history", "best", "checkpoint"])
def test_killed_while_writing(tmp_path, monkeypatch, killed_in):
    # The second epoch's files are not all there: it is trained again.
    run = RunFolder(tmp_path / "run", {})
    model = train(run, epochs=1)

    # SIGKILL runs no clean-up: what is written stays, half a file too.
    class KilledError(Exception):
        pass

    def kill(path):
        path.write_text("half a")
        (path.with_name("copy")).write_text("half a")
        raise KilledError

    method = {"best": "save", "checkpoint": "save_weights"}
    if killed_in == "history":
        monkeypatch.setattr(
            run,
            "_write_history",
            lambda: kill(run.path / "partial-history.csv"),
        )
    else:
        monkeypatch.setattr(model, method[killed_in], kill)
    with pytest.raises(KilledError):
        run.record_epoch(model, 2, seconds=1.0, logs={"loss": 0.0})
    (run.path / "copy").rename(run.path / "partial-file")
    assert "partial-file" not in [path.name for path in run.written()]
    resumed = RunFolder(tmp_path / "run", {}, resume=True)
    assert resumed.epochs_done == 1
    assert not list(run.path.glob("partial-*"))
    train(resumed, epochs=3)
    assert [row["epoch"] for row in read_history(resumed)] == ["1", "2", "3"]
    assert not list(run.path.glob("partial-*"))
    assert len(list(run.path.glob("checkpoint-*"))) == 1


def test_folder_with_a_run_is_not_overwritten(tmp_path):
    train(RunFolder(tmp_path / "run", {"seed": 0}), epochs=1)
    with pytest.raises(ValueError, match=r"one run.*--resume"):
        RunFolder(tmp_path / "run", {"seed": 0})


def test_resuming_with_other_flags(tmp_path):
    RunFolder(tmp_path / "run", {"learning_rate": 0.1, "workdir": "a"})
    with pytest.raises(
        ValueError, match=r"--learning-rate 0.2, begun with 0.1"
    ):
        RunFolder(tmp_path / "run", {"learning_rate": 0.2}, resume=True)
    RunFolder(
        tmp_path / "run", {"learning_rate": 0.1, "workdir": "b"}, resume=True
    )


def test_resuming_where_no_run_is(tmp_path):
    with pytest.raises(ValueError, match="Received: no run in"):
        RunFolder(tmp_path / "typo", {}, resume=True)
    assert not (tmp_path / "typo").exists()


def test_all_earlier_checkpoints_are_removed(tmp_path):
    run = RunFolder(tmp_path, {})
    model = train(run, epochs=1)
    (tmp_path / "checkpoint-0.weights.h5").write_text("left by a kill")
    run.record_epoch(model, 2, seconds=1.0, logs={"loss": 0.0})
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == [
        "checkpoint-2.weights.h5"
    ]


def test_history_with_a_column_that_comes_later(tmp_path):
    run = RunFolder(tmp_path, {})
    model = train(run, epochs=1)
    run.record_epoch(model, 2, seconds=1.0, logs={"loss": 0.0, "top": 0.5})
    resumed = RunFolder(tmp_path, {}, resume=True)
    resumed.restore(model)
    assert "top" not in resumed.history[0]
    assert resumed.history[1]["top"] == 0.5


def test_numbered_folders(tmp_path):
    with pytest.raises(ValueError, match=r"Received: no run in"):
        RunFolder(None, {}, resume=True, default_parent=tmp_path)
    for number in ("001", "002"):
        assert RunFolder(None, {}, default_parent=tmp_path).path.name == number
    resumed = RunFolder(None, {}, resume=True, default_parent=tmp_path)
    assert resumed.path.name == "002"


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"writable.*Received: workdir="):
        RunFolder(tmp_path / "file" / "run", {})
    with pytest.raises(ValueError, match=r"writable.*Received: workdir="):
        RunFolder(tmp_path / "file", {})


def test_moving_averages_below_a_scaled_loss(tmp_path):
    """At the end of `fit`, Keras itself puts them into the model."""
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    run = RunFolder(tmp_path / "run", {})
    inputs = np.arange(16.0).reshape(8, 2) / 16
    model.fit(
        inputs,
        inputs.sum(axis=-1, keepdims=True),
        batch_size=2,
        callbacks=[run.callback()],
        verbose=0,
    )
    for found, average in zip(
        run.load_best_model().get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, average)


def test_best_model_has_the_moving_averages(tmp_path):
    """The checkpoint has the weights themselves, to go on with."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    run = RunFolder(tmp_path / "run", {})
    seen = []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights())

    inputs = np.arange(16.0).reshape(8, 2) / 16
    initial = model.get_weights()
    model.fit(
        inputs,
        inputs.sum(axis=-1, keepdims=True),
        batch_size=2,
        shuffle=False,
        callbacks=[Weights(), run.callback()],
        verbose=0,
    )
    # Keras begins the averages at the first weights it sees, after a step.
    averages = seen[0]
    for weights in seen[1:]:
        averages = [
            0.99 * average + 0.01 * weight
            for average, weight in zip(averages, weights, strict=True)
        ]
    best = run.load_best_model()
    for found, average, last in zip(
        best.get_weights(), averages, seen[-1], strict=True
    ):
        np.testing.assert_allclose(found, average, rtol=1e-5)
        assert np.abs(average - last).max() > 1e-3
    resumed = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    resumed.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    RunFolder(tmp_path / "run", {}, resume=True).restore(resumed)
    for found, last in zip(resumed.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(found, last)
    assert not np.array_equal(initial[0], seen[-1][0])


def test_one_of_several_processes_only_reads(tmp_path):
    first = RunFolder(tmp_path / "run", {"process_id": 0})
    train(first, epochs=2)
    before = {p: p.stat().st_mtime_ns for p in first.path.rglob("*")}
    second = RunFolder(
        tmp_path / "run", {"process_id": 1}, resume=True, writes=False
    )
    assert second.epochs_done == 2
    train(second, epochs=4, model=small_model())
    second.write_metrics({})
    assert [row["epoch"] for row in second.history] == [1, 2, 3, 4]
    after = {p: p.stat().st_mtime_ns for p in first.path.rglob("*")}
    assert after == before
    new = RunFolder(tmp_path / "new", {}, writes=False)
    train(new, epochs=1)
    assert not new.path.exists()
