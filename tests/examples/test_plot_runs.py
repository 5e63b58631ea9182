"""The script that draws Figures 4 and 6, on runs that are written here."""

import json
import pathlib

import plot_runs
import pytest

from keras_coordconv.experiments.training import history


def write_run(folder, score="iou", **flags):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    args = {"layer": "conv", "split": "uniform", "seed": 0, **flags}
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(
        json.dumps({f"train_{score}": 0.5, f"test_{score}": 0.4})
    )
    (folder / "history.csv").write_text(
        f"epoch,seconds,val_{score}\n1,2.0,0.1\n2,4.0,0.4\n"
    )


def test_figure_beside_the_runs(scripts):
    write_run("runs/iou/1", layer="conv")
    write_run("runs/iou/2", layer="coordconv")
    printed = scripts.run("plot_runs", "runs/iou/1", "runs/iou/2")
    assert printed.splitlines()[-1] == "written: runs/iou/scores.png"
    content = pathlib.Path("runs/iou/scores.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert [path.name for path in pathlib.Path().iterdir()] == ["runs"]


def test_runs_are_pooled_over_the_seed_alone(scripts):
    flags = [
        {"layer": "conv", "l2": 0.0, "width": 1, "workdir": "a"},
        {"layer": "conv", "l2": 0.0, "width": 1, "seed": 1, "workdir": "b"},
        {"layer": "conv", "l2": 0.1, "width": 2},
        {"layer": "coordconv", "l2": 0.2, "scale": 1.0},
    ]
    runs = []
    for number, own in enumerate(flags):
        write_run(str(number), **own)
        runs.append(history.read_run(str(number)))
    # The width would tell nothing that the penalty does not.
    assert plot_runs.group_runs(runs) == {
        "conv, uniform, l2 0.0": runs[:2],
        "conv, uniform, l2 0.1": runs[2:3],
        "coordconv, uniform, l2 0.2": runs[3:],
    }
    assert list(plot_runs.group_runs(runs[:2])) == ["conv, uniform"]


def test_bad_arguments(scripts, capsys):
    write_run("1")
    write_run("2", score="accuracy")
    pathlib.Path("file").write_text("in the way")
    for arguments, message in (
        (("nowhere",), "must be finished"),
        (("1", "2"), "Received: runs with accuracy, iou"),
        (("1", "--output", "file/x.png"), "Received: file"),
    ):
        with pytest.raises(SystemExit, match="2"):
            plot_runs.main(arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(pathlib.Path().rglob("*.png"))
