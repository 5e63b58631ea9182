"""The sweep, started as a user would start it, on two small points."""

import csv
import pathlib
import subprocess
import sys

import pytest
import sweep

pytestmark = pytest.mark.tensorflow_backend

SCRIPT = pathlib.Path(__file__).parents[2] / "examples/sweep.py"
SMALL = ("coordinate_regression", "--grid", "test", "--limit-examples", "24")


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )


def test_help(tmp_path):
    assert "--grid" in run("--help", cwd=tmp_path).stdout


def test_interrupted_and_continued(tmp_path):
    folder = tmp_path / "runs/sweep"
    # Killed in the second point: the first is done, the second is not.
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *SMALL], cwd=tmp_path, stderr=subprocess.PIPE
    )
    while not list(folder.glob("*/layer=conv*/args.json")):
        assert process.poll() is None
    subprocess.run(["pkill", "-9", "-P", str(process.pid)], check=True)
    process.kill()
    process.communicate()
    (first,) = folder.glob("*/layer=coordconv*/metrics.json")
    assert not list(folder.glob("*/layer=conv*/metrics.json"))
    written = first.stat().st_mtime_ns
    printed = run("--table", *SMALL, cwd=tmp_path).stdout
    assert "coordconv" in printed
    assert len(list(csv.DictReader((folder / "table.csv").open()))) == 1
    printed = run(*SMALL, cwd=tmp_path).stdout
    assert "2 points, 1 of them done" in printed
    assert first.stat().st_mtime_ns == written
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [row["layer"] for row in rows] == ["coordconv", "conv"]
    assert all(float(row["test_distance"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("painting",), "invalid choice: 'painting'"),
        (("rendering", "--grid", "big"), "invalid choice: 'big'"),
        (("rendering", "--workdir", "file/out"), "must be a writable folder"),
    ],
)
def test_bad_arguments(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        sweep.main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_grids_of_the_paper():
    def count(task):
        parser = sweep.build_parser()
        args = parser.parse_args([task, "--grid", "paper"])
        return len(list(sweep.grid_points(args)))

    # Both splits: 6 rates, 3 penalties, 3 sizes, 3 widths, 2 batches; 3 x 2.
    assert count("coordinate_classification") == 2 * (6 * 3 * 3 * 3 * 2 + 6)
    assert count("coordinate_regression") == 2 * (9 + 1)
    assert count("rendering") == 2 * (6 * 3 * 3 * 3 * 2 + 2 * 2 * 2)
