"""The script that draws Figures 4 and 6, on runs that are written here."""

import json
import pathlib

import plot_runs
import pytest


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


def test_runs_are_pooled_over_the_seed_alone(scripts, monkeypatch):
    pooled = []

    def plot_scores(runs, score):
        pooled.append(({name: len(r) for name, r in runs.items()}, score))
        return draw(runs, score)

    draw = plot_runs.plots.plot_scores
    monkeypatch.setattr(plot_runs.plots, "plot_scores", plot_scores)
    for name, flags in {
        "a": {"l2": 0.0},
        "b": {"l2": 0.0, "seed": 1},
        "c": {"l2": 0.1},
    }.items():
        write_run(name, **flags)
    plot_runs.main(["a", "b", "c", "--output", "figure.svg"])
    labels = {"conv, uniform, l2 0.0": 2, "conv, uniform, l2 0.1": 1}
    assert pooled == [(labels, "iou")]
    assert "<svg" in pathlib.Path("figure.svg").read_text()


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
