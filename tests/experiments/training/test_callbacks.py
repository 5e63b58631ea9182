"""What the callbacks put into the logs."""

import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        (("loss", "iou", "val_iou"), ("loss", "iou", "val_iou")),
        (
            ("loss", "image_loss", "val_image_loss", "val_image_iou"),
            ("loss", "image_loss", "val_image_loss", "val_iou"),
        ),
        # Both would be `mae`.
        (
            ("a_loss", "b_loss", "a_mae", "b_mae", "a_r2"),
            ("a_loss", "b_loss", "a_mae", "b_mae", "r2"),
        ),
    ],
)
def test_plain_names(logs, expected):
    plain = callbacks.plain_names(dict.fromkeys(logs, 0.0))
    assert tuple(plain) == expected


def test_plain_names_of_keras():
    inputs = keras.Input((2,))
    model = keras.Model(
        inputs, {name: keras.layers.Dense(1)(inputs) for name in ("map", "box")}
    )
    model.compile(
        "sgd",
        {"map": "mse", "box": "mse"},
        metrics={"map": ["mae"]},
    )
    zeros = np.zeros((4, 1))
    data = (np.zeros((4, 2)), {"map": zeros, "box": zeros})
    logs = model.fit(*data, validation_data=data, verbose=0).history
    names = {"loss", "map_loss", "box_loss", "mae"}
    assert set(callbacks.plain_names(logs)) == names | {
        f"val_{n}" for n in names
    }


@pytest.mark.parametrize("outputs", [1, 2])
def test_time_to_target(outputs):
    """The training set is evaluated where the test set is perfect, only."""

    class Model(keras.Model):
        evaluations = 0

        def evaluate(self, data, **kwargs):
            self.evaluations += 1
            score = [0.9, 1.0][self.evaluations - 1]
            return {"image_loss": 1.0, f"{prefix}accuracy": score}

    prefix = "image_" * (outputs - 1)
    perfect = callbacks.TimeToTarget(None, "accuracy", min_score=1)
    perfect.set_model(Model())
    rows = []
    for epoch, score in enumerate((0.5, 1.0, 0.9, 1.0)):
        logs = {"image_loss": 1.0, f"val_{prefix}accuracy": score}
        perfect.on_epoch_end(epoch, logs)
        row = callbacks.plain_names(logs)
        rows.append({"seconds": 10.0 * (epoch + 1), **row})
    assert [row.get("train_accuracy") for row in rows] == [None, 0.9, None, 1.0]
    assert perfect.seconds(rows) == 40
    assert perfect.seconds(rows[:3]) is None


def test_target_with_a_maximum():
    perfect = callbacks.TimeToTarget(None, "distance", max_score=0.5)
    rows = [
        {"seconds": 1, "val_distance": 0.5, "train_distance": 0.6},
        {"seconds": 2, "val_distance": 0.5, "train_distance": 0.5},
    ]
    assert perfect.seconds(rows) == 2
