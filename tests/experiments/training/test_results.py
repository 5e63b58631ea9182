"""What is read from runs."""

import json

import pytest

from keras_coordconv.experiments.training import results


def write_run(folder, **args):
    folder.mkdir(parents=True)
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(json.dumps({"test_iou": 0.5}))
    (folder / "history.csv").write_text(
        "epoch,seconds,val_iou,train_iou\n1,2.5,0.5,\n2,4.5,1.0,1.0\n"
    )
    return results.read_run(folder)


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
    with pytest.raises(ValueError, match=r"No finished run in .*metrics.json"):
        results.read_run(tmp_path)
    with pytest.raises(ValueError, match=r"No run in .*args.json"):
        results.read_flags(tmp_path)
    assert results.read_history(tmp_path) == []
