"""Time and size of the export of a ResNet-50 (slow)."""

import time

import keras
import pytest

import keras_coordconv
from keras_coordconv.serving import encoded_image_signature
from keras_coordconv.serving import export_for_serving

pytestmark = [pytest.mark.tensorflow_backend, pytest.mark.slow]


def test_size_and_time_of_resnet50(tmp_path):
    plain = keras.applications.ResNet50(weights=None)
    model = keras_coordconv.convert_to_coordconv(plain)
    start = time.monotonic()
    path = export_for_serving(
        model,
        tmp_path,
        signatures={
            "serving_default": encoded_image_signature(
                model, value_range=(0, 255)
            )
        },
        fold_coordinates=True,
        batch_sizes=(1, 32),
    )
    seconds = time.monotonic() - start
    size = sum(
        file.stat().st_size for file in path.rglob("*") if file.is_file()
    )
    parameters = model.count_params()
    print(f"{seconds:.1f} s, {size / (4 * parameters):.3f} x the weights")
    assert size <= 1.05 * 4 * parameters + 300_000
    assert seconds <= 60
