"""The scripts that draw what trained nets do, on nets that are not trained."""

import json
import pathlib

import numpy as np
import plot_predictions
import plot_units
import pytest

from keras_coordconv.experiments.models import coordinate_classification


def write_run(folder, layer="coordconv", split="quadrant", units="mixed"):
    folder = pathlib.Path(folder)
    folder.mkdir()
    args = {"layer": layer, "split": split}
    if layer == "coordconv":
        args |= {"units": units, "first_layer_scale": 0.1}
        model = coordinate_classification.coordconv_classifier(units=units)
    else:
        model = coordinate_classification.conv_classifier(width=1)
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(json.dumps({"test_accuracy": 0.5}))
    model.save(folder / "best.keras")
    return model


def test_weights_for_one_pixel(scripts):
    model = write_run("run")
    kernel, bias = model.get_layer("coordconv1").get_weights()
    # 1 for a pixel of x, and 63 / 2 for the two units of the 63 pixels.
    kernel[0, 0, :, 0] = [1, 0, 0, -63 / 2]
    kernel[0, 0, :, 1] = [0, 3, 63 * 2, 0]
    model.get_layer("coordconv1").set_weights([kernel, bias])
    model.save("run/best.keras")
    run = plot_units.read_run("run")
    np.testing.assert_allclose(run["weights"][0], [0.5**0.5, -(0.5**0.5)])
    np.testing.assert_allclose(run["weights"][1], [0, 0])
    assert (run["units"], run["scale"], run["accuracy"]) == ("mixed", 0.1, 0.5)
    assert scripts.run("plot_units", "run").endswith("written: units.png\n")
    assert pathlib.Path("units.png").read_bytes().startswith(b"\x89PNG")


def test_predictions_of_both_layers(scripts, capsys):
    write_run("conv", "conv")
    write_run("coordconv")
    flags = ("--conv", "conv", "--coordconv", "coordconv")
    printed = scripts.run("plot_predictions", *flags)
    assert printed.endswith("written: predictions.png\n")
    write_run("other", "conv", split="uniform")
    with pytest.raises(SystemExit, match="2"):
        plot_predictions.main(["--conv", "other", *flags[2:]])
    assert "Received: quadrant and uniform" in capsys.readouterr().err
