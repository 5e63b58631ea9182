"""The sweep, started as a user would start it, on small points."""

import csv
import importlib
import pathlib
import subprocess

import pytest
import sweep

from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training import sweeps

pytestmark = pytest.mark.tensorflow_backend

SMALL = ("coordinate_regression", "--grid", "test", "--limit-examples", "24")


def read_table():
    with pathlib.Path("runs/sweep/table.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_interrupted_and_continued(scripts):
    # Killed in the second point: the first is done, the second is not.
    process = scripts.start("sweep", *SMALL)
    scripts.send(0, "runs/sweep/*/layer=conv*/args.json", process)
    subprocess.run(["pkill", "-9", "-P", str(process.pid)], check=True)
    process.kill()
    process.communicate()
    folder = pathlib.Path("runs/sweep")
    (first,) = folder.glob("*/layer=coordconv*/metrics.json")
    assert not list(folder.glob("*/layer=conv*/metrics.json"))
    written = first.stat().st_mtime_ns
    assert "coordconv" in scripts.run("sweep", "--table", *SMALL)
    assert len(read_table()) == 1
    printed = scripts.run("sweep", *SMALL)
    assert "2 points, 1 of them done" in printed
    assert first.stat().st_mtime_ns == written
    rows = read_table()
    assert [row["layer"] for row in rows] == ["coordconv", "conv"]
    assert all(float(row["test_distance"]) > 0 for row in rows)


def test_other_points_go_on_where_one_fails(scripts, monkeypatch, capsys):
    def run_point(script, folder, settings):
        if settings["layer"] == "coordconv":
            return 1, folder.with_suffix(".log")
        folder.mkdir(parents=True)
        metrics = '{"seconds": 3.0, "test_distance": 0.5}'
        (folder / "metrics.json").write_text(metrics)
        return 0, None

    monkeypatch.setattr(sweeps, "run_point", run_point)
    with pytest.raises(SystemExit, match="2"):
        sweep.main(SMALL)
    (row,) = read_table()
    assert row["layer"] == "conv"
    line = capsys.readouterr().err.splitlines()[-1]
    assert "Failed points: 1." in line
    assert "layer=coordconv" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("painting",), "invalid choice: 'painting'"),
        (("rendering", "--grid", "big"), "invalid choice: 'big'"),
        (("rendering", "--grid", "units"), "has no points for"),
        (("rendering", "--workdir", "file/out"), "Cannot access file"),
    ],
)
def test_bad_arguments(scripts, capsys, flags, message):
    pathlib.Path("file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        sweep.main(flags)
    assert message in capsys.readouterr().err.splitlines()[-1]


def grid_points(*flags):
    return list(sweep.grid_points(sweep.build_parser().parse_args(flags)))


@pytest.mark.parametrize("grid", sweep.GRIDS)
def test_each_point_is_a_run_of_its_script(grid):
    points = grid_points("all", "--grid", grid)
    assert {task for task, _ in points} == set(sweep.GRIDS[grid])
    # Flags that go together are there once in the grid of the paper.
    for task, settings in points[:: max(1, len(points) // 50)]:
        script = importlib.import_module(task)
        flags = sweeps.flags_of(settings)
        args = recipes.parse(script.build_parser(), script.RECIPES, flags)
        assert args.layer == settings["layer"]


def test_grids_of_the_paper():
    def count(task):
        return len(grid_points(task, "--grid", "paper"))

    # Both splits: 6 rates, 3 penalties, 3 sizes, 3 widths, 2 batches; 3 x 2.
    assert count("coordinate_classification") == 2 * (6 * 3 * 3 * 3 * 2 + 6)
    assert count("coordinate_regression") == 2 * (9 + 1)
    assert count("rendering") == 2 * (6 * 3 * 3 * 3 * 2 + 2 * 2 * 2)
