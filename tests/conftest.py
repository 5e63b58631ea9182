"""Settings for all tests: the scripts' environment and one random seed."""

import environment  # noqa: F401, before TensorFlow

import signal

import keras
import pytest

# A shell without job control starts background jobs with SIGINT ignored, and
# `nohup` with SIGHUP; the processes that a test starts inherit that. With a
# handler in this process they get the default, whatever the shell did.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


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
