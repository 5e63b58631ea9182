"""The TensorFlow Datasets builder, checked by TFDS's own test case."""

from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.datasets import sort_of_clevr_builder

pytestmark = pytest.mark.tensorflow_backend

FEW = {"train": 30, "test": 10}


@mock.patch.dict(sort_of_clevr.EXAMPLES, FEW)
class BuilderTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = sort_of_clevr_builder.SortOfClevr
    SPLITS = FEW
    # Nothing is downloaded, so there are no fake examples.
    EXAMPLE_DIR = "."


def test_loaded_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sort_of_clevr, "EXAMPLES", FEW)
    dataset = tfds.load(
        "sort_of_clevr", split="test", data_dir=tmp_path, shuffle_files=False
    )
    found = sorted(
        dataset.as_numpy_iterator(), key=lambda x: x["image"].tobytes()
    )
    expected = sort_of_clevr.load_arrays("test")
    order = sorted(range(10), key=lambda n: expected["image"][n].tobytes())
    for number, example in zip(order, found, strict=True):
        assert set(example) == set(expected)
        for name, value in example.items():
            np.testing.assert_array_equal(value, expected[name][number])
