"""The check of a real server, with the mock server in its place."""

import json
import pathlib
import shutil

import check_real_server
import pytest

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")

SAVED_MODELS = pathlib.Path(__file__).parents[2] / "saved_models"
MODELS = ("rendering", "coordinate_regression")


@pytest.fixture
def serve(tmp_path):
    """Starts a server of models, by name on the server."""
    from serving import mock_server

    servers = []

    def start(**models):
        folder = tmp_path / "served"
        for name, source in models.items():
            shutil.copytree(SAVED_MODELS / source, folder / name)
        servers.append(mock_server.MockServer(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def run(server, tmp_path):
    expected = tmp_path / "expected"
    for name in MODELS:
        shutil.copytree(SAVED_MODELS / name, expected / name)
    return check_real_server.main(
        [
            *(server.rest, server.grpc, "--saved-models", f"{expected}"),
            *("--output", f"{tmp_path}/results"),
        ]
    )


def test_all_that_is_checked(serve, tmp_path, capsys):
    rows = run(serve(**dict(zip(MODELS, MODELS, strict=True))), tmp_path)[
        "rows"
    ]
    # Of rendering one signature, of the regression one of files and one of
    # numbers; the default is one of them.
    checks = {(row.get("model"), row["what"]) for row in rows}
    assert ("rendering", "serving_default in rows") in checks
    assert ("coordinate_regression", "tensor in columns") in checks
    assert (None, "unknown model") in checks
    assert all(row["good"] for row in rows)
    assert f"all {len(rows)} checks passed" in capsys.readouterr().out
    written = json.loads((tmp_path / "results/results.json").read_text())
    assert written["rows"] == rows


def test_another_model_is_found(serve, tmp_path, capsys):
    server = serve(rendering="rendering_conv", coordinate_regression=MODELS[1])
    with pytest.raises(SystemExit, match="2"):
        run(server, tmp_path)
    error = capsys.readouterr().err
    assert "checks failed" in error and "'model': 'rendering'" in error
