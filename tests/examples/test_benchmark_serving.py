"""The serving benchmark, on a tiny model."""

import json
import shutil

import benchmark_serving
import keras
import pytest

from keras_coordconv.serving import encoded_image_signature
from keras_coordconv.serving import export_for_serving

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    inputs = keras.Input((8, 8, 3), name="image")
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    images = {
        "serving_default": encoded_image_signature(model, value_range=(0, 255))
    }
    export_for_serving(model, folder / "photos", signatures=images)
    return folder


def test_versions_and_servers(folder, tmp_path, capsys):
    from serving import mock_server

    server = mock_server.MockServer(folder)
    try:
        results = benchmark_serving.main(
            [
                *(f"{folder}/photos/1", f"{server.grpc}/photos"),
                *("--signature", "tensor", "--batch-sizes", "2"),
                *("--turns", "3", "--output", f"{tmp_path}/bench"),
            ]
        )
    finally:
        server.stop()
    assert json.loads((tmp_path / "bench/results.json").read_text()) == results
    first, second = results["rows"]
    assert first["ratio"] == 1
    assert second["seconds"] > 0 and second["batch_size"] == 2
    assert "examples/s  1.000 x" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--signature", "other"], "photos/1: serving_default, tensor"),
        (["--batch-sizes", "0"], "at least 1"),
        (["--turns", "0"], "at least 1"),
        ([], "no --image for the input 'image_bytes'"),
        (["--image", "nowhere.jpg"], "nowhere.jpg"),
        (
            ["--image", __file__],
            "Could not load or run the model version. Received",
        ),
    ],
)
def test_user_errors_are_one_line(folder, arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmark_serving.main([f"{folder}/photos/1", *arguments])
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_damaged_version(folder, tmp_path, capsys):
    version = tmp_path / "photos/1"
    shutil.copytree(folder / "photos/1", version)
    for path in (version / "variables").iterdir():
        path.write_bytes(b"junk")
    with pytest.raises(SystemExit, match="2"):
        benchmark_serving.main([str(version), "--signature", "tensor"])
    assert "Could not load or run" in capsys.readouterr().err
    (version / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(SystemExit, match="2"):
        benchmark_serving.main([str(version), "--signature", "tensor"])
    assert "saved_model.pb" in capsys.readouterr().err
