"""The tables of the experiments' pages have the numbers that were measured."""

import pathlib

import numpy as np
import pytest
from test_numbers import at_least
from test_numbers import commas
from test_numbers import listed
from test_numbers import read
from test_numbers import span

from keras_coordconv.experiments.evaluation.intervals import difference_interval

PAGES = pathlib.Path(__file__).parents[1] / "docs" / "experiments"


def classification():
    task, metrics = "coordinate_classification", ("train", "test")
    for name, seeds, row in (
        ("conv_quadrant", 3, "20 epochs | quadrant | almost 0 test"),
        ("conv_uniform", 3, "100 epochs | uniform | at most 86 % test"),
        (
            "conv_uniform_250_epochs",
            1,
            "250 epochs | uniform | at most 86 % test",
        ),
    ):
        train, test = (
            read(f"{task}/{name}", seeds=seeds, metric=f"{subset}_accuracy")
            for subset in metrics
        )
        digits = int(name == "conv_quadrant")
        yield (
            f"| deconvolution, {row} | {listed(train, scale=100)} % / "
            f"{listed(test, digits, scale=100)} % |"
        )
    for split, subset in (
        (split, subset)
        for split in ("quadrant", "uniform")
        for subset in ("train", "test")
    ):
        name = f"{task}/coordconv_{split}"
        assert (read(name, seeds=20, metric=f"{subset}_accuracy") == 1).all()
        yield f"| CoordConv | {split} | 100 % / 100 % | 100 % / 100 % | 0 to 19"


def regression():
    task = "coordinate_regression"
    for split in ("quadrant", "uniform"):
        train, test = (
            read(f"{task}/coordconv_{split}", seeds=10, metric=metric)
            for metric in ("train_distance", "test_distance")
        )
        yield f'{split} | "perfect" | {span(train, 3)} | {span(test, 3)} |'
    train, test = (
        read(f"{task}/conv_quadrant", seeds=5, metric=metric)
        for metric in ("train_distance", "test_distance")
    )
    yield f"(unconfirmed) | {listed(train, 1)} | {listed(test, 1)} |"
    for subset in ("train", "test"):
        name = f"{task}/soft_argmax_conv_quadrant"
        found = read(name, seeds=5, metric=f"{subset}_distance")
        yield f"| {min(found):.4f} to {max(found):.3f} |"


def rendering():
    for name, seeds, row in (
        ("quadrant", 3, "20 epochs | quadrant | 0.36"),
        ("quadrant_30_epochs", 1, "30 epochs | quadrant | 0.36"),
        ("uniform", 3, "60 epochs | uniform | at most 0.83"),
    ):
        train, test = (
            read(f"rendering/conv_{name}", seeds=seeds, metric=metric)
            for metric in ("train_iou", "test_iou")
        )
        yield f"{row} | {listed(train, 2)} | {listed(test, 2)} |"
    for name, words in (
        ("coordconv_quadrant", "quadrant | up to 1.0 | 1.0000 | at least {} |"),
        ("coordconv_uniform", "uniform | up to 1.0 | 1.0000 | {} |"),
        ("coordconv_3x3_quadrant", "both | up to 1.0 | 1.0000 | {} |"),
        ("coordconv_3x3_uniform", "both | up to 1.0 | 1.0000 | {} |"),
    ):
        scores = read(f"rendering/{name}", seeds=5, metric="test_iou")
        yield words.format(at_least(scores, 4))


def detection():
    for row, name, base in (
        ("paper, grid | none", "conv", None),
        ("paper, grid | three layers", "coordconv", "conv"),
        ("paper, grid | only the image", "coordconv_image", "conv"),
        ("paper, grid | only the features", "coordconv_features", "conv"),
        ("paper, grid | only the boxes", "coordconv_boxes", "conv"),
        ("paper, scrambled | none", "conv_scrambled", None),
        (
            "paper, scrambled | three layers",
            "coordconv_scrambled",
            "conv_scrambled",
        ),
        ("modern, grid | none", "modern_conv", None),
        ("modern, grid | four layers", "modern_coordconv", "modern_conv"),
    ):
        for metrics, title in (
            (("test_iou", "test_best_iou"), " (`--layer conv`)"),
            (
                ("test_ap50", "test_ap", "test_box_loss", "test_score_loss"),
                "",
            ),
        ):
            cells = [row + title * row.endswith("none")]
            for metric in metrics:
                values = read(
                    f"object_detection/{name}", seeds=5, metric=metric
                )
                digits = 4 if metric == "test_iou" else 3
                mean, deviation = np.mean(values), np.std(values, ddof=1)
                cells.append(f"{mean:.{digits}f} ± {deviation:.{digits}f}")
            cells.append(
                relative_change(name, base, metrics[0]) if base else ""
            )
            yield " | ".join(cells).strip()


def relative_change(name, base, metric):
    values, others = (
        read(f"object_detection/{each}", seeds=5, metric=metric)
        for each in (name, base)
    )
    difference, width = difference_interval(values, others)
    change, low, high = (
        f"{100 * end / np.mean(others):+.1f}".replace("-", "\N{MINUS SIGN}")
        for end in (difference, difference - width, difference + width)
    )
    return f"{change} % [{low}, {high}]"


def tiles():
    def metric(name, key):
        return read(f"tiles/{name}", seeds=3, metric=key)

    for name in ("tensor", "volume_world", "volume_tensor"):
        yield f"| {span(100 * metric(name, 'whole_accuracy'), 1)} %"
    for name in ("tensor", "volume_tensor"):
        yield f"| {span(100 * metric(name, 'tiles_accuracy'), 1)} %"
    for accuracy in ("whole_accuracy", "tiles_accuracy"):
        assert (metric("world", accuracy) == 1).all()
    yield "| global | 100 % | 100 % | 0.00002 |"
    key = "tiles_largest_difference"
    yield f"| {span(metric('tensor', key), 1)} |"
    yield f"| {span(metric('volume_tensor', key), 0)} |"
    yield f"| {span(metric('volume_world', key), 5)} |"


def instances():
    for name, title in (
        ("center", "the given center"),
        ("image", "the corner"),
    ):
        cells = (
            read(f"instances/{name}", seeds=3, metric=metric)
            for metric in ("test_iou", "larger_iou")
        )
        for values in cells:
            yield "1.0000" if np.min(values) == 1 else span(values, 4)
        yield f"| {title}"


def gan():
    def cells(name, seeds):
        def metric(key):
            return read(f"clevr_gan/{name}", seeds=seeds, metric=key)

        for key in ("red", "blue", "difference"):
            yield commas(metric(f"entropy_{key}"), 2)
        yield ", ".join(
            f"{100 * each:.0f} %" for each in metric("both_objects")
        )
        yield "; ".join(commas(metric(k), 2) for k in ("precision", "recall"))

    yield "| CoordConv GAN | " + " | ".join(cells("coordconv", 3))
    yield "--epochs 40`, seed 0 | " + " | ".join(cells("conv_40_epochs", 1))
    assert not read("clevr_gan/conv", seeds=3, metric="both_objects").any()


def vae():
    for layer in ("coordconv", "conv"):
        jumps, loss, precision, recall = (
            read(f"clevr_vae/{layer}", seeds=3, metric=metric)
            for metric in ("jumps", "test_loss", "precision", "recall")
        )
        yield (
            f"| `--layer {layer}`, seeds 0, 1, 2 | {commas(jumps, 2)} | "
            f"{commas(loss, 3)} | {commas(precision, 2)}; "
            f"{commas(recall + 1e-9, 2)} |"  # 0.955 is 0.96.
        )


def atari():
    for layer in ("conv", "coordconv"):
        returns = [
            read(f"atari_a2c/seaquest_{layer}", seeds=3, metric=metric)
            for metric in (
                "train_return",
                "test_return",
                "test_return_deviation",
            )
        ]
        cells = " | ".join(
            f"{train:.0f} / {test:.0f} ± {deviation:.0f}"
            for train, test, deviation in zip(*returns, strict=True)
        )
        yield f"| `--layer {layer}`, training / test | {cells} |"
    (mean,) = read("atari_a2c/cartpole", seeds=1, metric="test_return")
    yield f"a mean return of {mean:.1f} of 500"


def imagenet():
    for layer in ("coordconv", "conv_stem", "conv"):
        top1 = 100 * read(
            f"imagenet_resnet50/stand_in_{layer}", seeds=3, metric="test_top1"
        )
        yield (
            f"{commas(top1, 1)} % | {np.mean(top1):.1f} %, "
            f"{np.std(top1, ddof=1):.1f} |"
        )


@pytest.mark.parametrize(
    "sentences",
    [
        *(classification, regression, rendering, detection, tiles, instances),
        *(gan, vae, atari, imagenet),
    ],
)
def test_numbers_of_page(sentences):
    text = (PAGES / f"{sentences.__name__}.md").read_text()
    text = " ".join(text.split()).replace("**", "")
    missing = [each for each in sentences() if each not in text]
    assert not missing
