"""Scattered MNIST against Pillow, rejection sampling, and by hand."""

import sys

import keras
import numpy as np
import pytest
from PIL import Image

from keras_coordconv.experiments.datasets import scattered_mnist

pytestmark = pytest.mark.tensorflow_backend


def fake_digits(count=12, size=28, seed=0):
    """Blots of various sizes at various positions."""
    random = np.random.default_rng(seed)
    digits = np.zeros((count, size, size), "uint8")
    for digit in digits:
        top, left = random.integers(0, size // 2, 2)
        bottom, right = random.integers(size // 2 + 1, size + 1, 2)
        blot = random.integers(0, 256, (bottom - top, right - left))
        # With ink in its corners, the crop is the whole blot.
        blot[0, 0] = blot[-1, -1] = 255
        digit[top:bottom, left:right] = blot
    return digits


def crop_to_ink(digit):
    rows, columns = np.nonzero(digit)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def paste_with_pil(digits, boxes):
    """Draws each digit on the whole canvas; returns the center of the sum."""
    canvas = np.zeros((120, 120))
    for digit, box in zip(digits, boxes, strict=True):
        top, left, bottom, right = box + 28
        crop = Image.fromarray(crop_to_ink(digit) / np.float32(255))
        down, across = crop.height / (bottom - top), crop.width / (right - left)
        canvas += crop.transform(
            (120, 120),
            Image.Transform.AFFINE,
            (across, 0, -left * across, 0, down, -top * down),
            resample=Image.Resampling.BILINEAR,
        )
    return np.minimum(canvas, 1)[28:92, 28:92, None]


def test_images_equal_those_of_pillow():
    digits = fake_digits()
    examples = scattered_mnist.load_arrays(digits, "test", limit_examples=20)
    assert examples["image"].dtype == examples["boxes"].dtype == np.float32
    which = np.random.default_rng([0, 1]).random((20, 5, 5))[:, 0]
    chosen = digits[(which * len(digits)).astype(int)]
    for image, boxes, five in zip(
        examples["image"], examples["boxes"].astype(float), chosen, strict=True
    ):
        np.testing.assert_allclose(
            image, paste_with_pil(five, boxes), atol=1e-4
        )


def test_ink_of_binary_images_is_white():
    digits = fake_digits()
    gray, binary = (
        scattered_mnist.load_arrays(digits, "test", 20, binary=binary)
        for binary in (False, True)
    )
    np.testing.assert_array_equal(binary["boxes"], gray["boxes"])
    # Not divided by 255, then clipped to 1.
    np.testing.assert_allclose(
        binary["image"], np.minimum(255 * gray["image"], 1), atol=1e-4
    )
    assert np.mean((binary["image"] > 0) & (binary["image"] < 1)) < 0.01


def test_one_digit_by_hand():
    digit = np.zeros((5, 5), "uint8")
    digit[1:3, 2:4] = [[255, 0], [0, 51]]
    (image,) = scattered_mnist.draw_digits(
        digit[None, None], np.array([[[10.0, 62.0, 12.0, 66.0]]])
    )
    expected = np.zeros((64, 64, 1))
    # Twice as wide: pixel centers lie at quarters of the source's pixels.
    expected[10, 62:, 0] = [1, 0.75]
    expected[11, 62:, 0] = [0, 0.25 * 51 / 255]
    np.testing.assert_allclose(image, expected, atol=1e-6)


def draw_by_rejection(random, canvases):
    """Samples canvases; returns the boxes of those with all centers inside."""
    sides = random.uniform(15, 25, (canvases, 5, 2))
    centers = random.uniform(sides / 2, 120 - sides / 2) - 28
    inside = ((centers >= 0) & (centers < 64)).all(axis=(1, 2))
    return centers[inside], sides[inside]


def test_boxes_equal_those_of_rejection_sampling():
    random = np.random.default_rng(1)
    centers, sides = draw_by_rejection(random, 1_200_000)
    # Only 1.2% of the canvases are accepted.
    assert len(centers) / 1_200_000 == pytest.approx(0.0122, abs=0.0005)
    boxes = scattered_mnist.random_boxes(*random.random((4, 15_000, 5)))
    ours = {
        "centers": (boxes[..., 2:] + boxes[..., :2]) / 2,
        "sides": boxes[..., 2:] - boxes[..., :2],
    }
    parts = np.linspace(0.05, 0.95, 19)
    for name, theirs in (("centers", centers), ("sides", sides)):
        found = np.quantile(ours[name], parts, axis=(0, 1))
        expected = np.quantile(theirs, parts, axis=(0, 1))
        scale = {"centers": 64, "sides": 10}[name]
        # Four standard deviations of the difference between two quantiles.
        np.testing.assert_allclose(found, expected, atol=scale * 0.011)
    # The mean of uniform sides would be 20, a tenth of a pixel less.
    assert ours["sides"].mean() == pytest.approx(sides.mean(), abs=0.03)
    assert sides.mean() > 20.05
    assert (ours["centers"] >= 0).all() and (ours["centers"] < 64).all()
    assert (ours["sides"] >= 15).all() and (ours["sides"] <= 25).all()
    # Independent of each other, as for digits pasted one by one.
    numbers = np.concatenate(list(ours.values()), axis=-1).reshape(-1, 20)
    correlations = np.corrcoef(numbers.T) - np.eye(20)
    assert abs(correlations).max() < 0.04


def test_sizes_match_the_paper():
    assert scattered_mnist.EXAMPLES == {"train": 9000, "test": 1000}
    examples = scattered_mnist.load_arrays(fake_digits(), "test")
    assert examples["image"].shape == (1000, 64, 64, 1)
    assert examples["boxes"].shape == (1000, 5, 4)
    assert examples["image"].min() == 0 and examples["image"].max() == 1


def test_an_example_does_not_depend_on_the_others():
    digits = fake_digits()
    few, many = (
        scattered_mnist.load_arrays(digits, "train", limit_examples=count)
        for count in (7, 300)
    )
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][:7])
    for subset, seed in (("test", 0), ("train", 1)):
        other = scattered_mnist.load_arrays(digits, subset, 7, seed)
        assert (other["boxes"] != few["boxes"]).all()


def test_boxes_are_in_the_format_of_keras():
    """The ink is inside the boxes, as read by `keras.utils.bounding_boxes`."""
    examples = scattered_mnist.load_arrays(fake_digits(), "train", 5)
    boxes = keras.utils.bounding_boxes.convert_format(
        examples["boxes"], source="yxyx", target="xyxy"
    )
    for image, corners in zip(examples["image"], np.array(boxes), strict=True):
        covered = np.zeros((64, 64), bool)
        for left, top, right, bottom in corners:
            assert -12.5 <= left < right <= 76.5
            rows = slice(max(0, int(top)), int(np.ceil(bottom)))
            covered[rows, max(0, int(left)) : int(np.ceil(right))] = True
        assert image[covered].max() > 0 and image[~covered].max() == 0


def test_stand_in():
    pytest.importorskip("sklearn")
    train, test = map(scattered_mnist.load_stand_in, ("train", "test"))
    assert train.shape == (1438, 8, 8) and test.shape == (359, 8, 8)
    assert train.dtype == np.uint8 and train.max() == 255
    # No test digit is in the training set.
    known = {digit.tobytes() for digit in train}
    assert sum(digit.tobytes() in known for digit in test) == 0


def test_stand_in_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        scattered_mnist.load_stand_in("train")


def test_mnist_from_tensorflow_datasets(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    digits = {"train": fake_digits(5), "test": fake_digits(3, seed=1)}
    builder = tfds.builder("mnist", data_dir=str(tmp_path))
    monkeypatch.setattr(
        type(builder),
        "_split_generators",
        lambda *_: {
            split: enumerate({"image": d[..., None], "label": 0} for d in some)
            for split, some in digits.items()
        },
    )
    builder.download_and_prepare()
    for subset, expected in digits.items():
        found = scattered_mnist.load_digits(subset, str(tmp_path))
        assert found.dtype == np.uint8
        assert sorted(map(bytes, found)) == sorted(map(bytes, expected))


def test_missing_mnist(tmp_path):
    with pytest.raises(ValueError, match=f"Received: data_dir='{tmp_path}'"):
        scattered_mnist.load_digits("train", str(tmp_path))


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be one of train, test"):
        scattered_mnist.load_arrays(fake_digits(), "validation")
    with pytest.raises(ValueError, match="must have ink"):
        scattered_mnist.load_arrays(np.zeros((3, 28, 28), "uint8"))
