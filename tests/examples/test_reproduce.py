"""The queue of all runs, on small points."""

import importlib
import json
import pathlib

import pytest
import reproduce

from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import sweeps

pytestmark = pytest.mark.tensorflow_backend

SMALL = reproduce.Part(
    "coordinate_regression/{layer}_seed{seed}",
    {"layer": ["coordconv", "conv"], "epochs": [1], "limit-examples": [24]},
    minutes=2.0,
    seeds=(3,),
)


@pytest.mark.slow
def test_run_list_and_collect(scripts, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "QUEUE", [SMALL])
    begun = pathlib.Path("runs/reproduce/coordinate_regression/conv_seed3")
    begun.mkdir(parents=True)
    reproduce.main(["--list"])
    printed = capsys.readouterr().out
    assert "0 of 2 done, 4 min left" in printed
    assert "  to do  coordinate_regression/coordconv_seed3" in printed
    reproduce.main([])
    reproduce.main(["--list"])
    printed = capsys.readouterr().out
    assert "2 of 2 done, 0 min left" in printed
    assert "  done  coordinate_regression/conv_seed3" in printed

    reproduce.main(["--collect", "results"])
    collected = pathlib.Path("results/coordinate_regression")
    assert {path.name for path in collected.iterdir()} == {
        f"{layer}_seed3{end}"
        for layer in ("conv", "coordconv")
        for end in (".json", "_history.csv")
    }
    result = json.loads((collected / "conv_seed3.json").read_text())
    settings = result.pop("settings")
    assert (settings["layer"], settings["seed"]) == ("conv", 3)
    assert "workdir" not in settings
    assert result == results.read_metrics(begun)
    rows = (begun / "history.csv").read_text().splitlines()
    assert len(rows) == 2
    copy = (collected / "conv_seed3_history.csv").read_text()
    assert copy.splitlines() == rows


def test_unfinished_runs_are_not_collected(scripts, monkeypatch):
    monkeypatch.setattr(reproduce, "QUEUE", [SMALL])
    reproduce.main(["--collect", "results"])
    assert not pathlib.Path("results").exists()


def test_unknown_part(scripts, capsys):
    with pytest.raises(SystemExit, match="2"):
        reproduce.main(["--part", "painting"])
    assert "'painting'" in capsys.readouterr().err


def test_each_point_is_a_run_of_its_script():
    folders = []
    for part in reproduce.QUEUE:
        for script, folder, settings in part.points("runs"):
            folders.append(folder)
            module = importlib.import_module(script.stem)
            flags = sweeps.flags_of(settings)
            args = recipes.parse(module.build_parser(), module.RECIPES, flags)
            assert args.seed == settings["seed"]
    assert len(set(folders)) == len(folders)
