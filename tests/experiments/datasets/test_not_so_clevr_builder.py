"""The TensorFlow Datasets builder, checked by TFDS's own test case."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import not_so_clevr_builder

pytestmark = pytest.mark.tensorflow_backend


class UniformTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = not_so_clevr_builder.NotSoClevr
    BUILDER_CONFIG_NAMES_TO_TEST = ("uniform",)
    SPLITS = {"train": 2368, "test": 768}  # noqa: RUF012
    # Nothing is downloaded, so there are no fake examples.
    EXAMPLE_DIR = "."


class QuadrantTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = not_so_clevr_builder.NotSoClevr
    BUILDER_CONFIG_NAMES_TO_TEST = ("quadrant",)
    SPLITS = {"train": 2407, "test": 729}  # noqa: RUF012
    EXAMPLE_DIR = "."


class RegionsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = not_so_clevr_builder.NotSoClevr
    BUILDER_CONFIG_NAMES_TO_TEST = ("middle",)
    SPLITS = {"train": 2352, "test": 784}  # noqa: RUF012
    EXAMPLE_DIR = "."


def test_a_configuration_per_split():
    configs = not_so_clevr_builder.NotSoClevr.BUILDER_CONFIGS
    names = [config.name for config in configs]
    assert names == list(not_so_clevr.SPLITS)


def test_loaded_by_name(tmp_path):
    dataset = tfds.load(
        "not_so_clevr/quadrant", split="test", data_dir=tmp_path
    )
    examples = list(dataset.as_numpy_iterator())
    assert len(examples) == 729
    for example in examples[:20]:
        (center,) = example["location"][None].astype(int)
        np.testing.assert_allclose(example["normalized_location"], center / 64)
        for feature, draw in (
            ("center", not_so_clevr.draw_centers),
            ("image", not_so_clevr.draw_squares),
        ):
            np.testing.assert_array_equal(
                example[feature] / 255, draw(center[None])[0]
            )
