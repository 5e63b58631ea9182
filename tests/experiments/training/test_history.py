"""What is read from runs, and what their history says."""

import json

import keras
import numpy as np
import pytest

from keras_coordconv.experiments.training import history


def write_run(folder, **args):
    folder.mkdir(parents=True)
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(json.dumps({"test_iou": 0.5}))
    (folder / "history.csv").write_text(
        "epoch,seconds,val_iou,train_iou\n1,2.5,0.5,\n2,4.5,1.0,1.0\n"
    )
    return history.read_run(folder)


def test_what_was_not_computed_is_not_read(tmp_path):
    run = write_run(tmp_path / "run", seed=3)
    assert run == {
        "args": {"seed": 3},
        "metrics": {"test_iou": 0.5},
        "history": [
            {"epoch": 1, "seconds": 2.5, "val_iou": 0.5},
            {"epoch": 2, "seconds": 4.5, "val_iou": 1.0, "train_iou": 1.0},
        ],
    }


def test_unfinished_run(tmp_path):
    with pytest.raises(ValueError, match=r"finished.*Received: .*metrics.json"):
        history.read_run(tmp_path)
    with pytest.raises(ValueError, match=r"Received: .*which has none"):
        history.read_flags(tmp_path)
    assert history.read_history(tmp_path) == []


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
    plain = history.plain_names(dict.fromkeys(logs, 0.0))
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
    assert set(history.plain_names(logs)) == names | {f"val_{n}" for n in names}


@pytest.mark.parametrize("outputs", [1, 2])
def test_time_to_perfect(outputs):
    """The training set is evaluated where the test set is perfect, only."""

    class Model(keras.Model):
        evaluations = 0

        def evaluate(self, data, **kwargs):
            self.evaluations += 1
            score = [0.9, 1.0][self.evaluations - 1]
            return {"image_loss": 1.0, f"{prefix}accuracy": score}

    prefix = "image_" * (outputs - 1)
    perfect = history.TimeToPerfect(None, "accuracy", at_least=1)
    perfect.set_model(Model())
    rows = []
    for epoch, score in enumerate((0.5, 1.0, 0.9, 1.0)):
        logs = {"image_loss": 1.0, f"val_{prefix}accuracy": score}
        perfect.on_epoch_end(epoch, logs)
        row = history.plain_names(logs)
        rows.append({"seconds": 10.0 * (epoch + 1), **row})
    assert [row.get("train_accuracy") for row in rows] == [None, 0.9, None, 1.0]
    assert perfect.seconds(rows) == 40
    assert perfect.seconds(rows[:3]) is None


def test_perfect_at_most():
    perfect = history.TimeToPerfect(None, "distance", at_most=0.5)
    rows = [
        {"seconds": 1, "val_distance": 0.5, "train_distance": 0.6},
        {"seconds": 2, "val_distance": 0.5, "train_distance": 0.5},
    ]
    assert perfect.seconds(rows) == 2
