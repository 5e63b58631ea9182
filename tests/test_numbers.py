"""The numbers in the text are those of the results that were measured."""

import csv
import json
import pathlib
from itertools import product

import numpy as np
import pytest

from keras_coordconv.experiments.evaluation.intervals import difference_interval
from keras_coordconv.experiments.evaluation.intervals import mean_interval

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "examples" / "results"
# Of the position codes, in the order of the page's table.
SPLITS = ("uniform", "middle", "quadrant", "band", "border")


def read(*names, seeds, metric):
    """A metric of runs at the seeds `0, ..., seeds - 1`."""
    values = []
    for name, seed in product(names, range(seeds)):
        result = json.loads((RESULTS / f"{name}_seed{seed}.json").read_text())
        values.append(result[metric])
    return np.array(values)


def commas(values, digits=0, scale=1):
    return ", ".join(f"{scale * value:.{digits}f}" for value in values)


def listed(values, digits=0, scale=1):
    """As `commas`, with "and" before the last value."""
    return " and".join(commas(values, digits, scale).rsplit(",", 1))


def at_least(values, digits):
    return f"{np.floor(min(values) * 10**digits) / 10**digits:.{digits}f}"


def span(values, digits, scale=1):
    low, high = scale * min(values), scale * max(values)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def detection_change(anchors):
    """Change of the detector's mean IOU in percent, with its interval."""
    coordconv, conv = (
        read(f"object_detection/{layer}{anchors}", seeds=5, metric="test_iou")
        for layer in ("coordconv", "conv")
    )
    difference, width = difference_interval(coordconv, conv)
    ends = np.array([difference, difference - width, difference + width])
    return 100 / np.mean(conv) * ends


def with_interval(values, digits, scale=1):
    """Mean and 95% interval, or the value that all have."""
    if np.ptp(values) == 0:
        return f"{scale * values[0]:.{digits}f}"
    mean, width = mean_interval(scale * values)
    low, high = (f"{end:.{digits}f}" for end in (mean - width, mean + width))
    return f"{mean:.{digits}f} [{low}, {high}]"


def cost_sentences():
    """Time in addition to `Conv2D`'s, in percent."""
    percent = []
    for name, mode in (
        ("float32", "training_coordconv"),
        ("float32", "inference_folded"),
        ("float32", "inference_coordconv"),
        ("resnet50", "resnet50_coordconv"),
    ):
        path = RESULTS / "benchmark_layers" / f"{name}.json"
        mean = json.loads(path.read_text())["summary"][mode]["geometric_mean"]
        percent.append(round(100 * (mean - 1)))
    training, folded, inference, resnet50 = percent
    yield (
        f"Training: +{training} %. Inference: +{folded} to {inference} % on a "
        f"CPU in TensorFlow. Whole ResNet-50: {resnet50} %."
    )


def readme_sentences():
    task = "coordinate_classification"
    quadrant = read(
        f"{task}/coordconv_quadrant", seeds=20, metric="test_accuracy"
    )
    assert (quadrant == 1).all()
    yield "100 % at seeds 0 to 19"
    world, plain = (
        100
        * read("climate/blocks", seeds=5, metric=f"test_{one}_accuracy").mean()
        for one in ("world", "none")
    )
    yield f"{world:.1f} % of the held-out land instead of {plain:.1f} %"
    quadrant = read(f"{task}/conv_quadrant", seeds=3, metric="test_accuracy")
    yield f"{span(quadrant, 1, scale=100)} %"

    task, metric = "coordinate_regression", "test_distance"
    quadrant = read(f"{task}/coordconv_quadrant", seeds=10, metric=metric)
    yield f"up to {max(quadrant):.3f} pixels at seeds 0 to 9"
    quadrant = read(f"{task}/conv_quadrant", seeds=5, metric=metric)
    yield f"{listed(quadrant, 1)} pixels at seeds 0 to 4"

    task, metric = "rendering", "test_iou"
    quadrant = read(
        f"{task}/coordconv_quadrant",
        f"{task}/coordconv_3x3_quadrant",
        seeds=5,
        metric=metric,
    )
    yield f"at least {at_least(quadrant, 4)} at seeds 0 to 4, with"
    quadrant = read(f"{task}/conv_quadrant", seeds=3, metric=metric)
    longer = read(f"{task}/conv_quadrant_30_epochs", seeds=1, metric=metric)
    yield f"| {span([*quadrant, *longer], 2)} |"
    uniform = read(f"{task}/coordconv_uniform", seeds=5, metric=metric)
    yield f"{at_least(uniform, 4)} at seeds 0 to 4 |"
    uniform = read(f"{task}/conv_uniform_80_epochs", seeds=1, metric=metric)
    yield f"{listed(uniform, 2)} after 80 epochs (seed 0)"

    scrambled, grid = map(detection_change, ("_scrambled", ""))
    yield f"+{scrambled[0]:.0f} % with the anchors of the authors' code"
    assert grid[1] < 0 < grid[2]
    yield f"no gain (less than {np.ceil(grid[2]):.0f} %)"

    metric = "entropy_red"
    coordconv = read("clevr_gan/coordconv", seeds=3, metric=metric)
    yield f"| {commas(coordconv, 2)} at seeds 0 to 2"
    conv = read("clevr_gan/conv", seeds=3, metric="both_objects")
    assert not conv.any()
    conv = read("clevr_gan/conv_40_epochs", seeds=1, metric=metric)
    yield f"no objects after 8 epochs; {listed(conv, 2)} after 40"

    for layer, end in (("coordconv", " at seeds 0 to 2"), ("conv", " |")):
        jumps = read(f"clevr_vae/{layer}", seeds=3, metric="jumps")
        yield f"| {commas(jumps, 2)}{end}"
    for layer, end in (("coordconv", " at seeds 0 to 2"), ("conv", " |")):
        name = f"atari_a2c/seaquest_{layer}"
        scores = read(name, seeds=3, metric="test_return")
        yield f": {commas(scores)}{end}"

    yield from cost_sentences()


def report_sentences():
    """Means with 95% intervals, in docs/reproduction.md."""
    task, metric = "coordinate_classification", "test_accuracy"
    for split in ("quadrant", "uniform"):
        scores = read(f"{task}/coordconv_{split}", seeds=20, metric=metric)
        assert (scores == 1).all()
    yield "100 % at 20 of 20 seeds, on both splits"
    scores = read(f"{task}/conv_quadrant", seeds=3, metric=metric)
    yield f"{span(scores, 1, scale=100)} % on the quadrant split"
    scores = read(f"{task}/conv_uniform", seeds=3, metric=metric)
    yield f"{with_interval(scores, 1, scale=100)} % after 100 epochs"
    scores = read(f"{task}/conv_uniform_250_epochs", seeds=1, metric=metric)
    yield f"{listed(scores, scale=100)} % after 250 (one seed)"
    scores = read(f"{task}/paper_recipe_quadrant", seeds=5, metric=metric)
    yield f"{(scores == 1).sum()} of 5 seeds end at 100 %"

    task, metric = "coordinate_regression", "test_distance"
    distances = read(f"{task}/coordconv_quadrant", seeds=10, metric=metric)
    yield f"{span(distances, 3)} pixels (10 seeds)"
    distances = read(f"{task}/conv_quadrant", seeds=5, metric=metric)
    yield f"{with_interval(distances, 1)} pixels (5 seeds)"

    task, metric = "rendering", "test_iou"
    for split in ("quadrant", "uniform"):
        scores = read(f"{task}/coordconv_{split}", seeds=5, metric=metric)
        least = at_least(scores, 4)
        words = least if least == "1.0000" else f"at least {least}"
        yield f"{words} on the {split} split"
    scores = read(f"{task}/conv_quadrant", seeds=3, metric=metric)
    yield f"{with_interval(scores, 2)} on the quadrant split"
    scores = read(f"{task}/conv_uniform_80_epochs", seeds=1, metric=metric)
    yield f"{listed(scores, 2)} after 80 epochs (one seed)"

    for code, text in (
        ("coordinates", "at least {} % on all five splits"),
        ("pixel", "a learned vector per pixel reaches at least {} %"),
    ):
        names = [f"position_codes/{code}_{split}" for split in SPLITS]
        scores = read(*names, seeds=5, metric="test_accuracy")
        yield text.format(at_least(100 * scores, 1))

    for anchors in ("_scrambled", ""):
        change, low, high = detection_change(anchors)
        yield f"{change:+.1f} % [{low:+.1f}, {high:+.1f}]"
    for layer in ("coordconv", "conv"):
        for name, metric, digits in (
            ("clevr_gan", "entropy_red", 2),
            ("clevr_vae", "jumps", 2),
            ("clevr_vae", "test_loss", 3),
        ):
            values = read(f"{name}/{layer}", seeds=3, metric=metric)
            if values.any():
                yield with_interval(values, digits)
        name = f"atari_a2c/seaquest_{layer}"
        yield with_interval(read(name, seeds=3, metric="test_return"), 0)


def last(name, seeds, metric):
    """The last value of a metric in the histories of runs."""
    values = []
    for seed in range(seeds):
        path = RESULTS / f"{name}_seed{seed}_history.csv"
        with path.open(encoding="utf-8") as file:
            values.append(float(list(csv.DictReader(file))[-1][metric]))
    return np.array(values)


def epoch_sentences():
    """Scores of the kept and of the last epoch, in docs/reproduction.md."""
    for name, seeds, metric, digits, scale in (
        ("coordinate_classification/conv_uniform", 3, "accuracy", 1, 100),
        (
            "coordinate_classification/paper_recipe_quadrant",
            5,
            "accuracy",
            1,
            100,
        ),
        ("coordinate_regression/conv_quadrant", 5, "distance", 1, 1),
        ("rendering/conv_uniform", 3, "iou", 2, 1),
    ):
        kept = read(name, seeds=seeds, metric=f"test_{metric}")
        final = last(name, seeds, f"val_{metric}")
        cells = [commas(values, digits, scale) for values in (kept, final)]
        yield " | ".join(cells)


def position_code_sentences():
    for code in ("coordinates", "pixel", "axis", "fourier"):
        cells = []
        for split in SPLITS:
            name = f"position_codes/{code}_{split}"
            scores = 100 * read(name, seeds=5, metric="test_accuracy")
            _, width = mean_interval(scores)
            cells.append(f"{scores.mean():.1f} ± {width:.1f}")
        yield f"| `{code}` | {' | '.join(cells)} |"


def climate_sentences():
    """The table of docs/experiments/climate.md, in percent."""
    names = ("none", "tensor", "latitude", "world", "periodic", "fourier")
    for name in (*names, "wide"):
        cells = []
        for split in ("blocks", "continent"):
            scores, plain = (
                100
                * read(
                    f"climate/{split}", seeds=5, metric=f"test_{one}_accuracy"
                )
                for one in (name, "none")
            )
            cells.append(
                f"{scores.mean():.1f} ± {mean_interval(scores)[1]:.1f}"
            )
            difference, width = difference_interval(scores, plain)
            cells.append(
                "" if name == "none" else f"{difference:+.1f} ± {width:.1f}"
            )
        yield f"| `{name}` | {' | '.join(cells)} |".replace("|  |", "| |")
    for name, title in (
        ("same_latitude", "most frequent climate of the latitude"),
        ("nearest_pixel", "nearest training pixel"),
        ("boosted_trees", "gradient-boosted trees"),
    ):
        scores = [
            100
            * read(f"climate/{split}", seeds=1, metric=f"test_{name}_accuracy")
            for split in ("blocks", "continent")
        ]
        cells = " | | ".join(f"{score[0]:.1f}" for score in scores)
        yield f"| {title} | {cells} | |"


def probe_sentences():
    for head, strides in product(("dense", "average"), (1, 2)):
        cells = [
            span(
                read(
                    "position_probes/strides_uniform",
                    seeds=3,
                    metric=f"{layer}_strides{strides}_{head}_{subset}_distance",
                ),
                2,
            )
            for layer, subset in product(
                ("conv", "coordconv"), ("train", "test")
            )
        ]
        title = {"dense": "dense", "average": "mean over all positions"}[head]
        yield f"| {strides}, {title} | {' | '.join(cells)} |"


def key_point_sentences():
    def ball(head, subset):
        metric = f"{subset}_{head}_ball_distance"
        # Trained alone, with another learning rate.
        name = head if head == "coordconv" else "quadrant"
        return read(f"key_points/{name}", seeds=5, metric=metric)

    for head in (
        *("soft_argmax", "coordconv_soft_argmax", "coordconv"),
        *("pooling", "dense"),
    ):
        cells = []
        for subset in ("test", "quadrant"):
            mean, width = mean_interval(ball(head, subset))
            cells.append(f"{mean:.1f} ± {width:.1f}")
        if head != "soft_argmax":
            difference, width = difference_interval(
                ball(head, "quadrant"), ball("soft_argmax", "quadrant")
            )
            cells.append(f"{difference:+.1f} ± {width:.1f}")
        yield f"| `{head}` | {' | '.join(cells)} |"


@pytest.mark.parametrize(
    ("page", "sentences"),
    [
        ("README.md", readme_sentences),
        ("docs/faq.md", cost_sentences),
        ("docs/reproduction.md", report_sentences),
        ("docs/reproduction.md", epoch_sentences),
        ("docs/experiments/key_points.md", key_point_sentences),
        ("docs/experiments/position_codes.md", position_code_sentences),
        ("docs/experiments/climate.md", climate_sentences),
        ("docs/experiments/probes.md", probe_sentences),
    ],
)
def test_numbers(page, sentences):
    text = " ".join((ROOT / page).read_text().split())
    missing = [each for each in sentences() if each not in text]
    assert not missing
