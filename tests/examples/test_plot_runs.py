"""The script that draws Figures 4 and 6, on runs that are written here."""

import json
import pathlib
import subprocess
import sys

import plot_runs
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/plot_runs.py"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )


def write_run(folder, layer, score):
    folder.mkdir(parents=True)
    args = {"layer": layer, "split": "uniform"}
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(
        json.dumps({f"train_{score}": 0.5, f"test_{score}": 0.4})
    )
    (folder / "history.csv").write_text(
        f"epoch,seconds,val_{score}\n1,2.0,0.1\n2,4.0,0.4\n"
    )


def test_help(tmp_path):
    assert "--label-by" in run("--help", cwd=tmp_path).stdout


def test_figure(tmp_path):
    write_run(tmp_path / "runs/1", "conv", "iou")
    write_run(tmp_path / "runs/2", "coordconv", "iou")
    printed = run("runs/1", "runs/2", cwd=tmp_path).stdout
    assert "written: scores.png" in printed
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_bad_arguments(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "1", "conv", "iou")
    write_run(tmp_path / "2", "conv", "accuracy")
    for arguments, message in (
        (("nowhere",), "must be finished"),
        (("1", "2"), "must be of one task"),
        (("1", "--output", "none/x.png"), "must be a writable file"),
    ):
        with pytest.raises(SystemExit, match="2"):
            plot_runs.main(arguments)
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.glob("*.png"))
