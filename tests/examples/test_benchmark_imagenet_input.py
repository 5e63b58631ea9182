"""The benchmark of ImageNet's input, started as a user would start it."""

import json
import pathlib

import pytest

pytestmark = pytest.mark.tensorflow_backend


def test_few_images(scripts, tmp_path):
    printed = scripts.run(
        "benchmark_imagenet_input",
        *("--turns", "3", "--images", "24", "--batch-size", "8"),
        *("--image-size", "64", "--memory-images", "16"),
    )
    folder = tmp_path / "runs/benchmark_imagenet_input"
    results = json.loads((folder / "results.json").read_text())
    assert results["files"] == 180  # Of 200, one in ten is for validation.
    assert 80 < results["mean_kilobytes"] < 140  # As ImageNet's: about 110.
    rows = {row["pipeline"]: row for row in results["rows"]}
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
    assert f"pipeline: {ratios[1]:.2f} times as fast as decode_whole" in printed


def test_bad_arguments(scripts, capsys):
    import benchmark_imagenet_input

    pathlib.Path("file").write_text("in the way")
    for arguments, message in (
        (("--turns", "0"), "must be at least 1"),
        (("--output", "file/out"), "Cannot access file/out"),
        (("--output", "out", "--data-dir", "nowhere"), "Data folder not found"),
    ):
        with pytest.raises(SystemExit, match="2"):
            benchmark_imagenet_input.main(arguments)
        assert message in capsys.readouterr().err
