"""The benchmark, started as a user would start it, on one shape."""

import json
import pathlib

import keras
import pytest

pytestmark = pytest.mark.tensorflow_backend


def test_one_shape(scripts, tmp_path):
    printed = scripts.run("benchmark_layers", "--shapes", "1", "--turns", "3")
    folder = tmp_path / "runs/benchmark_layers"
    results = json.loads((folder / "results.json").read_text())
    ratios = {(r["mode"], r["model"]): r["ratio"] for r in results["rows"]}
    assert ratios["inference", "conv"] == ratios["training", "conv"] == 1
    assert ("inference", "folded") in ratios
    assert ("training", "folded") not in ratios
    # One shape: its ratio is the geometric mean.
    mean = results["summary"]["training_coordconv"]["geometric_mean"]
    assert mean == pytest.approx(ratios["training", "coordconv"])
    assert (folder / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert "geometric mean" in printed


def test_frames(scripts):
    import benchmark_layers

    modes = ("frame_inference", "frame_training")
    results = benchmark_layers.main(
        ["--shapes", "1", "--turns", "1", "--modes", *modes]
    )
    assert [(row["mode"], row["model"]) for row in results["rows"]] == [
        (mode, model)
        for mode in modes
        for model in ("conv", "coordconv", "affine", "appended")
    ]


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime", "tflite"])
def test_a_runtime_computes_what_is_measured(scripts, monkeypatch, runtime):
    import benchmark_layers

    if runtime != "tflite":
        for package in ("onnx", "tf2onnx", runtime):
            pytest.importorskip(package)
    images = keras.random.normal((2, 9, 9, 3))
    shape = benchmark_layers.Shape(9, 3, 4, 3, 2, 2)
    models = benchmark_layers.build_models(runtime, shape, "relu")
    assert list(models) == ["conv", "coordconv", "folded", "concatenation"]
    for model in models.values():
        compile_call = getattr(benchmark_layers, f"compile_{runtime}")
        found = compile_call(model, images)()
        if runtime == "tflite":
            found = found()
        expected = model.predict_on_batch(images)
        assert found == pytest.approx(expected, abs=1e-4)
    results = benchmark_layers.main(
        ["--shapes", "1", "20", "--turns", "1", "--runtime", runtime]
    )
    assert [(row["mode"], row["model"]) for row in results["rows"]] == [
        (runtime, name)
        for name in (*models, "conv", "coordconv", "concatenation")
    ]


def test_unwritable_output(scripts, capsys):
    import benchmark_layers

    pathlib.Path("file").write_text("in the way")
    with pytest.raises(SystemExit, match="2"):
        benchmark_layers.main(("--output", "file/out"))
    assert "Cannot access file/out: Not a directory" in capsys.readouterr().err


def test_another_version(scripts):
    """This one, as another: the same layer, of another class."""
    import benchmark_layers

    import keras_coordconv

    root = pathlib.Path(keras_coordconv.__file__).parents[1]
    other = benchmark_layers.import_other(str(root))
    assert other.CoordConv2D is not keras_coordconv.CoordConv2D
    layer = keras_coordconv.CoordConv2D(2, 3)
    loaded = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert type(loaded) is keras_coordconv.CoordConv2D
    results = benchmark_layers.main(
        [*("--shapes", "1", "--turns", "1"), "--other", str(root)]
    )
    models = [(row["mode"], row["model"]) for row in results["rows"]]
    assert ("inference", "other") in models and ("training", "other") in models


def test_an_encoding_is_folded(scripts):
    import benchmark_layers

    modes = ["--modes", "encoding_inference"]
    results = benchmark_layers.main(
        ["--shapes", "1", "20", "--turns", "1", *modes]
    )
    assert [row["model"] for row in results["rows"]] == [
        *("conv", "folded", "encoded"),
        "conv",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--other", "."], "must be a folder with the package. Received: ."),
        (["--other", ".", "--modes", "resnet50"], "--other has no effect here"),
    ],
)
def test_another_version_that_is_not_there(scripts, capsys, flags, message):
    import benchmark_layers

    with pytest.raises(SystemExit, match="2"):
        benchmark_layers.main(flags)
    assert message in capsys.readouterr().err
