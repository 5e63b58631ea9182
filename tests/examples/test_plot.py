"""The script that draws figures of runs, on runs that are written here."""

import json
import pathlib

import numpy as np
import plot
import pytest

from keras_coordconv.experiments.models import coordinate_classification
from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend


def write_run(folder, metrics, **flags):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    args = {"layer": "conv", "split": "uniform", "seed": 0, **flags}
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.csv").write_text(
        "epoch,seconds,val_iou\n1,2.0,0.1\n2,4.0,0.4\n"
    )


def write_scores(folder, score="iou", **flags):
    write_run(folder, {f"train_{score}": 0.5, f"test_{score}": 0.4}, **flags)


def write_classifier(folder, layer="coordconv", split="quadrant"):
    flags = {"layer": layer, "split": split}
    if layer == "coordconv":
        flags |= {"units": "mixed", "first_layer_scale": 0.1}
        model = coordinate_classification.coordconv_classifier(units="mixed")
    else:
        model = coordinate_classification.conv_classifier(width=1)
    write_run(folder, {"test_accuracy": 0.5}, **flags)
    model.save(f"{folder}/model.keras")
    return model


def is_png(path):
    return pathlib.Path(path).read_bytes().startswith(b"\x89PNG")


def test_scores(scripts):
    write_scores("runs/iou/1", layer="conv")
    write_scores("runs/iou/2", layer="coordconv")
    printed = scripts.run("plot", "scores", "runs/iou/1", "runs/iou/2")
    assert printed.splitlines()[-1] == "written: scores.png"
    assert is_png("scores.png")
    names = {path.name for path in pathlib.Path().iterdir()}
    assert names == {"runs", "scores.png"}


def test_epochs(tmp_path):
    runs = {}
    for seed in (0, 3):
        write_scores(tmp_path / f"{seed}", seed=seed)
        runs[seed] = results.read_run(tmp_path / f"{seed}")
    panels = plot.draw_epochs(runs).axes
    assert [panel.get_ylabel() for panel in panels] == ["seed 0", "seed 3"]
    (line,) = panels[1].lines
    assert line.get_xydata().tolist() == [[1, 0.1], [2, 0.4]]


def test_runs_are_pooled_over_the_seed_alone(scripts):
    flags = [
        {"layer": "conv", "l2": 0.0, "width": 1, "workdir": "a"},
        {"layer": "conv", "l2": 0.0, "width": 1, "seed": 1, "workdir": "b"},
        {"layer": "conv", "l2": 0.1, "width": 2},
        {"layer": "coordconv", "l2": 0.2, "scale": 1.0},
    ]
    runs = []
    for number, own in enumerate(flags):
        write_scores(str(number), **own)
        runs.append(results.read_run(str(number)))
    # The width would tell nothing that the penalty does not.
    assert plot.group_runs(runs) == {
        "conv, uniform, l2 0.0": runs[:2],
        "conv, uniform, l2 0.1": runs[2:3],
        "coordconv, uniform, l2 0.2": runs[3:],
    }
    assert list(plot.group_runs(runs[:2])) == ["conv, uniform"]


def test_units(scripts):
    model = write_classifier("run")
    kernel, bias = model.get_layer("coordconv1").get_weights()
    # 1 for a pixel of x, and 63 / 2 for the two units of the 63 pixels.
    kernel[0, 0, :, 0] = [1, 0, 0, -63 / 2]
    kernel[0, 0, :, 1] = [0, 3, 63 * 2, 0]
    model.get_layer("coordconv1").set_weights([kernel, bias])
    model.save("run/model.keras")
    run = plot.first_layer("run", results.read_run("run"))
    np.testing.assert_allclose(run["weights"][0], [0.5**0.5, -(0.5**0.5)])
    np.testing.assert_allclose(run["weights"][1], [0, 0])
    assert (run["units"], run["scale"], run["accuracy"]) == ("mixed", 0.1, 0.5)
    plot.main(["units", "run"])
    assert is_png("units.png")


def test_predictions_of_both_layers(scripts):
    write_classifier("conv", "conv")
    write_classifier("coordconv")
    printed = scripts.run("plot", "predictions", "conv", "coordconv")
    assert printed.endswith("written: predictions.png\n")
    assert is_png("predictions.png")


def test_tables_and_figure_of_position_codes(scripts):
    scores = {
        "coordinates": [1.0, 0.9, 1.0, 0.95, 1.0],
        "axis": [0.5, 0.75, 0.25, 0.5, 0.5],
    }
    for code, accuracies in scores.items():
        for seed, accuracy in enumerate(accuracies):
            folder = f"{code}_seed{seed}"
            metrics = {
                "train_accuracy": 1.0,
                "test_accuracy": accuracy,
                "test_distance": 2.0,
            }
            write_run(folder, metrics, code=code, split="band", seed=seed)
            pathlib.Path(folder, "found.csv").write_text(
                "x,y,found_x,found_y\n45,4,45,4\n45,5,44,5\n"
            )
    runs = sorted(path.name for path in pathlib.Path().iterdir())
    printed = scripts.run("plot", "position_codes", *runs)
    assert "| `coordinates` | 97.0 ± 5.6 |" in printed
    assert "| `axis` | 50.0 ± 21.9 |" in printed
    assert "| `axis` | 2.00 |" in printed
    assert "| `coordinates` | +0.0 ±" in printed
    assert printed.endswith("written: position_codes.png\n")
    assert is_png("position_codes.png")
    run = plot.read_positions("axis_seed1", results.read_run("axis_seed1"))
    assert run["found"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scores", "nowhere"), "No finished run in nowhere"),
        (("scores", "1", "2"), "Received: runs with accuracy, iou"),
        (("scores", "1", "--output", "file/x.png"), "Cannot access file"),
        (("predictions", "1", "3"), "Received: conv on uniform, conv on band."),
        (("predictions", "1", "2"), "Received: conv on uniform, conv on"),
        (
            ("generators", "1", "4"),
            "all be of clevr_gan.py, or all of",
        ),
        (("figure_5", "1"), "invalid choice: 'figure_5'"),
    ],
)
def test_bad_arguments(scripts, capsys, arguments, message):
    write_scores("1")
    write_scores("2", score="accuracy")
    write_scores("3", split="band")
    write_scores("4", kl_weight=1.0)
    pathlib.Path("file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        plot.main(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(pathlib.Path().rglob("*.png"))
