"""The command line `python -m keras_coordconv.serving`."""

import signal
import subprocess
import sys

import keras
import pytest

import keras_coordconv
from keras_coordconv import _signals
from keras_coordconv.serving.__main__ import main

pytestmark = pytest.mark.tensorflow_backend
pytest.importorskip("tensorflow_serving")


def shell(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "keras_coordconv.serving", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras_coordconv.CoordConv2D(4, 3, name="features")(inputs)
    model = keras.Model(inputs, x)
    model.save(folder / "model.keras")
    plain = shell("export", folder / "model.keras", folder / "photos")
    assert plain.stdout.split() == [str(folder / "photos" / "1")]
    main(
        [
            *("export", f"{folder}/model.keras", f"{folder}/photos"),
            *("--images", "0", "255", "--fold-coordinates", "--version", "5"),
        ]
    )
    return folder


def test_check_replays_the_warm_up(folder):
    printed = shell("check", folder / "photos/5").stdout
    assert "serving_default: image_bytes[32] -> features[32, 6, 6, 4]" in (
        printed
    )
    assert "12 requests" in printed


def test_check_of_an_empty_folder(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Could not read the SavedModel")
    assert "published" not in error


def test_config(folder, capsys):
    assert main(["config", str(folder), "--server-path", "/srv"]) == 0
    printed = capsys.readouterr().out
    assert printed.split() == [str(folder / "models.config")]
    assert "/srv/photos" in (folder / "models.config").read_text()


@pytest.mark.parametrize("command", ["export", "check", "config"])
def test_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith("usage: ")


def test_stopped(monkeypatch, capfd):
    def stop(args):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("keras_coordconv.serving.__main__.run_check", stop)
    for name, value in (("_received", None), ("_printed", False)):
        monkeypatch.setattr(_signals, name, value)
    before = [signal.getsignal(number) for number in _signals.NAMES]
    try:
        with pytest.raises(SystemExit, match="143"):
            main(["check", "folder"])
    finally:
        for number, handler in zip(_signals.NAMES, before, strict=True):
            signal.signal(number, handler)
    assert capfd.readouterr().err == "\nTerminated.\n"
