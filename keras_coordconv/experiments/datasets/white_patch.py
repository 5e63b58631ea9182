"""A white patch on a black canvas of 32x32, at every place, in two splits."""

import numpy as np

from keras_coordconv.experiments.datasets.epochs import spread_evenly

CANVAS_SIZE = 32

SPLITS = ("uniform", "quadrant")
# The part of the uniform split that is for testing, as in Not-so-Clevr.
TEST_FRACTION = 0.25


def load_arrays(
    split="uniform", subset="train", patch_size=1, limit_examples=None
):
    """All examples of one subset, as arrays.

    Args:
        split: String: `"uniform"` tests at a random quarter of the places,
            always the same, `"quadrant"` in the lower right quarter.
        subset: String, `"train"` or `"test"`.
        patch_size: Odd integer, height and width of the patch in pixels. It is
            always whole.
        limit_examples: As for `not_so_clevr.load_arrays`.

    Returns:
        Dictionary of arrays, the examples first: `location`, float32 of shape
        `(examples, 2)`, the (x, y) of the patch's centre in pixels; `image`,
        float32 of shape `(examples, 32, 32, 1)`, 1 in the patch.
    """
    margin = patch_size // 2
    places = np.arange(margin, CANVAS_SIZE - margin)
    centers = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    if split == "uniform":
        random = np.random.default_rng(0).uniform(size=len(centers))
        is_test = random < TEST_FRACTION
    else:
        is_test = (centers >= CANVAS_SIZE / 2).all(axis=-1)
    centers = centers[is_test if subset == "test" else ~is_test]
    centers = spread_evenly(centers, limit_examples)
    pixels = np.arange(CANVAS_SIZE)
    x, y = (abs(pixels - centers[:, axis, None]) <= margin for axis in (0, 1))
    image = y[:, :, None, None] & x[:, None, :, None]
    return {
        "location": centers.astype("float32"),
        "image": image.astype("float32"),
    }
