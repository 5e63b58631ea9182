"""The serving example, with a mock server and without a server."""

import pathlib
import shutil

import pytest

from keras_coordconv._install import install_command

pytestmark = pytest.mark.tensorflow_backend

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def saved_models(tmp_path):
    folder = tmp_path / "saved_models"
    shutil.copytree(ROOT / "saved_models", folder)
    return folder


def test_without_a_server(scripts, tmp_path, saved_models):
    printed = scripts.run(
        "serve_and_predict",
        *("--saved-models", saved_models, "--wait", "1"),
        *("--address", "http://127.0.0.1:9"),
    )
    assert "No server with the model" in printed
    assert "predicted by: rendering/1, without a server" in printed
    assert f"-v {saved_models}:/models tensorflow/serving" in printed
    assert (tmp_path / "runs/served.png").exists()
    assert (saved_models / "models.config").exists()


def test_without_the_package_of_the_server(scripts, saved_models):
    flags = "--saved-models", saved_models, "--wait", "1", "--address"
    hidden = scripts.without("tensorflow_serving")
    printed = scripts.run(
        "serve_and_predict", *flags, "http://127.0.0.1:9", **hidden
    )
    assert "predicted by: rendering/1, without a server" in printed
    printed = scripts.run(
        "serve_and_predict", *flags, "grpc://127.0.0.1:9", status=2, **hidden
    )
    assert printed.startswith("error: gRPC requires tensorflow-serving-api.")
    assert printed.endswith(f"Run: {install_command('serving')}\n")


def test_with_a_mock_server(scripts, tmp_path, saved_models):
    pytest.importorskip("tensorflow_serving")
    from serving import mock_server

    server = mock_server.MockServer(saved_models)
    try:
        printed = scripts.run(
            "serve_and_predict",
            *("--saved-models", saved_models, "--address", server.grpc),
        )
    finally:
        server.stop()
    assert f"predicted by: {server.grpc}" in printed


def test_nothing_to_serve(tmp_path, capsys):
    import serve_and_predict

    with pytest.raises(SystemExit, match="2"):
        serve_and_predict.main(("--saved-models", str(tmp_path)))
    assert f"Received: {tmp_path}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
