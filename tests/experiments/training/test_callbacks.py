"""What the callbacks put into the logs."""

import keras
import numpy as np

from keras_coordconv.experiments.training import callbacks


def test_throughput_leaves_out_the_first_batch(monkeypatch):
    """Batches of 8 that end at these seconds, the first after compiling."""
    clock = iter([30.0, 30.5, 31.0, 32.0])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    callback = callbacks.Throughput(batch_size=8)
    callback.on_epoch_begin(0)
    rates = []
    for batch in range(4):
        logs = {}
        callback.on_train_batch_end(batch, logs)
        rates.append(logs.get("images_per_second"))
    assert rates == [None, 16.0, 16.0, 12.0]
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs == {"images_per_second": 12.0}


def test_throughput_in_the_history():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(
        np.zeros((12, 2)),
        np.zeros((12, 1)),
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[callbacks.Throughput(4)],
    ).history
    assert len(history["images_per_second"]) == 2
    assert min(history["images_per_second"]) > 0


def test_throughput_of_one_batch_is_unknown():
    callback = callbacks.Throughput(batch_size=8)
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, {})
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs == {}


def test_skipped_images_are_reported_once(capsys):
    skipped = keras.Variable(0, dtype="int32")
    callback = callbacks.ReportSkippedImages(skipped)
    printed, added = [], []
    for epoch, total in enumerate((0, 3, 3, 5)):
        skipped.assign(total)
        logs = {}
        callback.on_epoch_end(epoch, logs)
        added.append(logs)
        printed.append(capsys.readouterr().out.strip())
    assert [logs["undecodable_images"] for logs in added] == [0, 3, 0, 2]
    assert printed[0] == printed[2] == ""
    assert printed[1].startswith("Skipped 3 training images in epoch 2")
    assert printed[3].startswith("Skipped 2 training images in epoch 4")
