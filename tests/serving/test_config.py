"""The configuration files parse as the server's protocol buffers."""

import pathlib
import subprocess
import sys

import pytest

from keras_coordconv.serving import write_config

model_server_config_pb2 = pytest.importorskip(
    "tensorflow_serving.config.model_server_config_pb2"
)
text_format = pytest.importorskip("google.protobuf.text_format")


def make_version(folder, name, version, card=None):
    path = folder / name / str(version)
    (path / "assets.extra").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")
    if card:
        (path / "assets.extra/model_card.json").write_text(card)
    return path


def test_models_config_lists_the_models(tmp_path):
    make_version(tmp_path, "photos", 1)
    make_version(tmp_path, "photos", 12)
    make_version(tmp_path, "digits", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "digits" / "partial-x").mkdir()
    path = write_config(
        tmp_path,
        server_path="/srv/",
        version_labels={"photos": {"stable": 1}},
    )
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(path.read_text(), config)
    found = {
        entry.name: (
            entry.base_path,
            entry.model_platform,
            dict(entry.version_labels),
            list(entry.model_version_policy.specific.versions),
        )
        for entry in config.model_config_list.config
    }
    assert found == {
        "digits": ("/srv/digits", "tensorflow", {}, []),
        "photos": ("/srv/photos", "tensorflow", {"stable": 1}, [1, 12]),
    }


@pytest.mark.parametrize("name", ['a "b"', r"back\slash", "ä é", "'", "# x"])
def test_names_are_quoted(tmp_path, name):
    make_version(tmp_path, name, 1)
    path = write_config(tmp_path, f"/{name}", {name: {name: 1}})
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(path.read_text(encoding="utf-8"), config)
    (entry,) = config.model_config_list.config
    assert (entry.name, entry.base_path) == (name, f"/{name}/{name}")
    assert dict(entry.version_labels) == {name: 1}


def test_the_package_of_the_server_is_not_needed(tmp_path):
    make_version(tmp_path, "photos", 1)
    command = (
        "import runpy, sys\n"
        "from without_package import hide\n"
        "hide('tensorflow_serving')\n"
        "module = 'keras_coordconv.serving'\n"
        "runpy.run_module(module, run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", command, "config", tmp_path],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert result.stdout == f"{tmp_path / 'models.config'}\n", result.stderr


def test_batching_files_use_the_batch_sizes_of_the_card(tmp_path):
    version = make_version(
        tmp_path, "photos", 1, card='{"batch_sizes": [1, 3]}'
    )
    write_config(tmp_path)
    lines = (version / "batching_params.pbtxt").read_text().splitlines()
    assert "max_batch_size { value: 3 }" in lines
    assert lines[-2:] == ["allowed_batch_sizes: 1", "allowed_batch_sizes: 3"]
    assert (tmp_path / "batching.config").exists()


def test_nothing_to_serve(tmp_path):
    with pytest.raises(ValueError, match="No models found"):
        write_config(tmp_path)
    assert not list(tmp_path.iterdir())


def test_label_of_an_unknown_version(tmp_path):
    make_version(tmp_path, "photos", 1)
    with pytest.raises(ValueError, match=r"Received: photos \{'old': 7\}"):
        write_config(tmp_path, version_labels={"photos": {"old": 7}})
    assert not (tmp_path / "models.config").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            {"batch_threads": value}
            for value in (
                *(0, -1, 2**31, 1.0, 2.5, float("nan"), float("inf"), True),
                *(None, "2", "2 } evil {", [2]),
            )
        ),
        *(
            {"server_path": value}
            for value in (
                "",
                " ",
                "/a\nb",
                "/\x1b[0m",
                "\udcff",
                None,
                3,
                b"/m",
            )
        ),
        *(
            {"version_labels": value}
            for value in (
                *([], "photos", 3, {"photos": 1}, {"photos": ["stable"]}),
                *({"photos": {"stable": x}} for x in ("1", 1.0, True, None)),
                *({"photos": {x: 1}} for x in ("", "a\nb", 3, None, b"x")),
            )
        ),
    ],
    ids=str,
)
def test_invalid_arguments(tmp_path, arguments):
    make_version(tmp_path, "photos", 1)
    (name,) = arguments
    with pytest.raises(ValueError, match=f"Received: {name}=") as raised:
        write_config(tmp_path, **arguments)
    assert str(raised.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_nothing_is_written_if_one_card_is_damaged(tmp_path):
    make_version(tmp_path, "a", 1, card='{"batch_sizes": [1]}')
    make_version(tmp_path, "b", 1, card="junk")
    with pytest.raises(ValueError, match=r"b/1/assets\.extra/model_card\.json"):
        write_config(tmp_path)
    assert not list(tmp_path.rglob("*.pbtxt"))
    assert not list(tmp_path.glob("*.config"))


@pytest.mark.parametrize("threads", [1, 2**31 - 1])
def test_batch_threads(tmp_path, threads):
    make_version(tmp_path, "photos", 1)
    write_config(tmp_path, batch_threads=threads)
    line = f"num_batch_threads {{ value: {threads} }}\n"
    assert line in (tmp_path / "batching.config").read_text()
    assert line in (tmp_path / "photos/1/batching_params.pbtxt").read_text()
