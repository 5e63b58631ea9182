"""The benchmark of ImageNet's input, started as a user would start it."""

import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tensorflow_backend

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, EXAMPLES / "benchmark_imagenet_input.py", *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )


def test_help(tmp_path):
    printed = run("--help", cwd=tmp_path).stdout
    assert "--memory-images" in printed and "--data-dir" in printed
    assert not list(tmp_path.iterdir())


def test_few_images(tmp_path):
    printed = run(
        *("--turns", "3", "--images", "24", "--batch-size", "8"),
        *("--image-size", "64", "--memory-images", "16"),
        cwd=tmp_path,
    ).stdout
    folder = tmp_path / "runs/benchmark_imagenet_input"
    results = json.loads((folder / "results.json").read_text())
    assert results["files"] == 180  # Of 200, one in ten is for validation.
    assert 80 < results["mean_kilobytes"] < 140  # As ImageNet's: about 110.
    rows = results["rows"]
    assert list(rows) == [
        "floor",
        "pipeline",
        "decode_whole",
        "keras_directory",
    ]
    assert rows["floor"]["ratio"] == rows["floor"]["ratio_per_core"] == 1
    for row in rows.values():
        assert len(row["turns"]) == 3
        rates = sorted(rate for rate, _ in row["turns"])
        assert row["images_per_second"] == rates[1] > 0
    ratios = sorted(
        ours / whole
        for (ours, _), (whole, _) in zip(
            rows["pipeline"]["turns"],
            rows["decode_whole"]["turns"],
            strict=True,
        )
    )
    assert results["speedup_over"]["decode_whole"][0] == ratios[1]
    assert results["memory_megabytes"][0][0] == 8
    assert f"pipeline: {ratios[1]:.2f} times decode_whole" in printed


def test_bad_arguments(tmp_path, monkeypatch, capsys):
    import benchmark_imagenet_input

    monkeypatch.chdir(tmp_path)
    pathlib.Path("file").write_text("in the way")
    for arguments, message in (
        (("--turns", "0"), "must be at least 1"),
        (("--output", "file/out"), "Received: file/out"),
        (("--output", "out", "--data-dir", "nowhere"), "folder must exist"),
    ):
        with pytest.raises(SystemExit, match="2"):
            benchmark_imagenet_input.main(arguments)
        assert message in capsys.readouterr().err
