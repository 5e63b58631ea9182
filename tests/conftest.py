"""Settings for all tests: a quiet TensorFlow, and the same seed everywhere."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import keras
import pytest


def pytest_configure(config):
    # Set by Keras's own tests, which run here with our layers in place.
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's.")


def pytest_collection_modifyitems(items):
    if keras.backend.backend() == "tensorflow":
        return
    skip = pytest.mark.skip(reason="needs Keras on the TensorFlow backend")
    for item in items:
        if "tensorflow_backend" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _fresh_keras():
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
