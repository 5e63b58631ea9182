"""Coverage scores of the data, and of small examples worked out by hand."""

import numpy as np
import pytest

from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation import coverage

pytestmark = pytest.mark.tensorflow_backend


def test_centers_of_the_data():
    examples = sort_of_clevr.load_arrays("test")
    for color, found in coverage.find_centers(examples["image"]).items():
        errors = np.linalg.norm(found - examples[f"{color}_center"], axis=-1)
        # If the blue object hides a part of the red one, its center shifts.
        assert errors.mean() < 0.05 and errors.max() < 1.2


def test_centers_of_blurred_and_noisy_images():
    examples = sort_of_clevr.load_arrays("test", 200)
    images = examples["image"].astype(float)
    for axis in (1, 2):
        images = sum(np.roll(images, shift, axis) for shift in (-1, 0, 1)) / 3
    images += np.random.default_rng(0).normal(0, 40, images.shape)
    found = coverage.find_centers(np.clip(images, 0, 255).astype("uint8"))
    for color, centers in found.items():
        errors = np.linalg.norm(centers - examples[f"{color}_center"], axis=-1)
        assert errors.mean() < 0.5


def draw(*rectangles):
    image = np.full((1, 64, 64, 3), 255, "uint8")
    for top, left, height, width, color in rectangles:
        image[0, top : top + height, left : left + width] = color
    return image


@pytest.mark.parametrize(
    ("rectangles", "center"),
    [
        ([(10, 20, 21, 21, (255, 0, 0))], (30, 20)),
        ([(10, 20, 10, 5, (200, 60, 60))], (22, 14.5)),
        # Too few pixels; another color; two objects; the whole image.
        ([(10, 20, 7, 7, (255, 0, 0))], None),
        ([(10, 20, 21, 21, (255, 200, 200))], None),
        ([(10, 20, 21, 21, (128, 0, 128))], None),
        ([(10, 20, 21, 21, (0, 0, 0))], None),
        ([(0, 0, 15, 15, (255, 0, 0)), (45, 0, 15, 15, (255, 0, 0))], None),
        ([(0, 0, 64, 64, (255, 0, 0))], None),
    ],
)
def test_what_an_object_is(rectangles, center):
    found = coverage.find_centers(draw(*rectangles))
    np.testing.assert_array_equal(found["red"], [center or (np.nan, np.nan)])
    assert np.isnan(found["blue"]).all()


def test_entropy_of_the_data_equals_the_papers():
    scenes = sort_of_clevr.scenes("train", 20_000)
    red, blue = scenes["red_center"], scenes["blue_center"]
    for points, low, printed in (
        (red, 0, 4.0),
        (blue, 0, 4.0),
        (red - blue, -64, 3.5),
    ):
        of_1000 = [coverage.entropy(p, low, 64) for p in np.split(points, 20)]
        assert np.mean(of_1000) == pytest.approx(printed, abs=0.05)


def test_entropy_by_hand():
    # Two in one bin, two in separate bins: log 4 - (2 log 2) / 4.
    points = [(1, 1), (6, 6), (1, 7), (63, 63)]
    assert coverage.entropy(points, 0, 64) == pytest.approx(1.5 * np.log(2))
    assert coverage.entropy([(1, 1)] * 3, 0, 64) == 0


def test_precision_and_recall_by_hand():
    # On a line: the third nearest neighbors are 3, 2, 2, 3 and 8 away.
    real = [(0,), (1,), (2,), (3,), (9,)]
    # -2 is 2 from 0, 4.9 is 1.9 from 3; 20 is 11 from 9; 15.5 is 6.5.
    generated = [(-2,), (4.9,), (20,), (15.5,)]
    radii = {0: 3, 1: 2, 2: 2, 3: 3, 9: 8}
    inside = [any(abs(g - r) <= radii[r] for r in radii) for (g,) in generated]
    assert inside == [True, True, False, True]
    precision, recall = coverage.precision_and_recall(
        np.array(real), np.array(generated)
    )
    # Of four points, the third nearest neighbor is the farthest one.
    assert (precision, recall) == (0.75, 1.0)
    precision, recall = coverage.precision_and_recall(
        np.array(real), np.array([(2,), (2.1,), (2.2,), (2.3,)])
    )
    assert (precision, recall) == (1.0, 0.2)


def test_coverage_of_the_data_and_of_others():
    real = sort_of_clevr.load_arrays("test")["image"]
    numbers = coverage.coverage(
        sort_of_clevr.load_arrays("train", 1000)["image"], real
    )
    assert numbers["both_objects"] == 1
    assert numbers["precision"] > 0.95 and numbers["recall"] > 0.95
    assert numbers["entropy_difference"] == pytest.approx(3.55, abs=0.05)

    # The same few images over and over: like the data, but not all of it.
    few = coverage.coverage(np.tile(real[:5], (20, 1, 1, 1)), real)
    assert few["entropy_red"] == pytest.approx(np.log(5))
    assert few["precision"] == 1 and few["recall"] < 0.02

    # Objects only at the left edge, in one column of bins.
    random = np.random.default_rng(0)
    zeros = np.zeros(500, int)
    centers = random.integers((10, 10), (13, 54), (2, 500, 2))
    edge = coverage.coverage(sort_of_clevr.draw(*centers, zeros, zeros), real)
    assert edge["entropy_blue"] < np.log(8) and edge["recall"] < 0.1

    # Neither noise nor white has objects.
    for images in (
        random.integers(0, 256, (20, 64, 64, 3), "uint8"),
        np.full((3, 64, 64, 3), 255, "uint8"),
    ):
        assert set(coverage.coverage(images, real).values()) == {0.0}


def test_count_jumps():
    # Both objects move straight down, by 3 pixels per image.
    y = np.arange(10, 54, 3)
    zeros = np.zeros(len(y), int)
    line = sort_of_clevr.draw(
        np.stack([zeros + 10, y], axis=-1),
        np.stack([zeros + 50, y], axis=-1),
        zeros,
        zeros,
    )
    assert coverage.count_jumps(line[None]) == 0
    # With every second image: 6 pixels, 7 times, for both.
    assert coverage.count_jumps(line[None, ::2]) == 14
    # The first half, then the second one backwards: one step of 21 pixels.
    assert (
        coverage.count_jumps(np.stack([line, [*line[:8], *line[:7:-1]]])) == 1
    )
    # A blend of two images: both objects disappear, and both appear.
    parts = np.linspace(0, 1, 9)[:, None, None, None]
    blended = (1 - parts) * line[0] + parts * line[-1]
    assert coverage.count_jumps(blended[None].astype("uint8")) == 4
