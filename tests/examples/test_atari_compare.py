import csv
import json
import pathlib

import atari_compare
import numpy as np
import pytest

from keras_coordconv.experiments.training import run_files

pytestmark = pytest.mark.tensorflow_backend

RETURNS = {
    ("Pong", "conv", 0): -20.7,
    ("Pong", "conv", 1): -3.05,
    ("Pong", "coordconv", 0): 14.6,
    ("Other", "coordconv", 0): 7.0,
}


def write_run(folder, settings):
    game, layer, seed = (settings[name] for name in ("game", "layer", "seed"))
    test_return = RETURNS[game, layer, seed]
    folder.mkdir(parents=True)
    (folder / "args.json").write_text(json.dumps(settings))
    metrics = {"test_return": test_return, "frames": 8, "frames_per_second": 2}
    (folder / "history.csv").write_text(
        f"epoch,seconds,steps,return\n1,9.0,80,\n2,19.0,160,{test_return}\n"
    )
    (folder / "metrics.json").write_text(json.dumps(metrics))
    run_files.write_table(folder / "games.csv", [])


def test_runs_table_and_figures(scripts, monkeypatch, capsys):
    def run_point(script, folder, settings):
        assert script.name == "atari_a2c.py" and script.exists()
        key = settings["game"], settings["layer"], settings["seed"]
        if key not in RETURNS:
            return 1, folder.with_suffix(".log")
        write_run(folder, settings)
        return 0, None

    monkeypatch.setattr(atari_compare.sweeps, "run_point", run_point)
    flags = ("--games", "Pong", "Other", "--seeds", "0", "1", "--epochs", "2")
    with pytest.raises(SystemExit, match="2"):
        atari_compare.main(flags)
    captured = capsys.readouterr()
    assert "8 points, 0 of them done" in captured.out
    # Half-way between random play and people, between -1/2 and 1/2 for conv.
    assert (
        "conv       interquartile mean 0.2500, 95 % interval 0.0000 to 0.5"
        in (captured.out)
    )
    assert "Failed points: 4." in captured.err.splitlines()[-1]
    folder = pathlib.Path("runs/atari_compare")
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {
        (row["game"], row["layer"], int(row["seed"])): float(row["test_return"])
        for row in rows
    }
    assert found == RETURNS
    for name in ("returns.png", "test_scores.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    # What is done is not run again, and can be drawn alone.
    runs = atari_compare.main([*flags, "--draw"])
    assert len(runs) == 4
    with pytest.raises(SystemExit, match="2"):
        atari_compare.main(flags)
    assert "8 points, 4 of them done" in capsys.readouterr().out


def test_each_run_is_one_of_the_script():
    import atari_a2c

    from keras_coordconv.experiments.training import recipes

    args = atari_compare.build_parser().parse_args(
        ["--test-games", "3", "--dtype-policy", "mixed_bfloat16"]
    )
    settings = atari_compare.list_runs(args)
    assert len(settings) == 9 * 2 * 3
    for flags in settings[::10]:
        parsed = recipes.parse(
            atari_a2c.build_parser(),
            atari_a2c.RECIPES,
            [f"--{name}={value}" for name, value in flags.items()],
        )
        assert (parsed.game, parsed.test_games) == (flags["game"], 3)
        assert parsed.dtype_policy == "mixed_bfloat16"
        assert parsed.epochs == atari_a2c.ATARI["epochs"]


def test_normalized_scores():
    rows = [
        {"game": game, "layer": layer, "test_return": score}
        for (game, layer, _), score in RETURNS.items()
    ]
    (scores,) = atari_compare.normalized_scores(rows, "conv")
    np.testing.assert_allclose(scores, [0, 0.5], atol=1e-12)
