"""The models in saved_models/ answer as their README says."""

import pathlib

import numpy as np
import pytest

from keras_coordconv.datasets import not_so_clevr

pytestmark = pytest.mark.tensorflow_backend

FOLDER = pathlib.Path(__file__).parents[2] / "saved_models"


def test_coordinate_classification_is_right_everywhere():
    import tensorflow as tf

    model = tf.saved_model.load(str(FOLDER / "coordinate_classification/1"))
    answer = model.signatures["serving_default"]
    centers = not_so_clevr.locations()
    for batch in np.array_split(centers, 49):
        found = answer(location=tf.constant(batch, tf.float32))
        np.testing.assert_array_equal(found["column"], batch[:, 0])
        np.testing.assert_array_equal(found["row"], batch[:, 1])
        np.testing.assert_array_equal(
            found["probabilities"].numpy().argmax(axis=-1),
            not_so_clevr.pixel_index(batch),
        )


def test_coordinate_regression_is_right_everywhere():
    import tensorflow as tf

    model = tf.saved_model.load(str(FOLDER / "coordinate_regression/1"))
    answer = model.signatures["serving_default"]
    for batch in np.array_split(not_so_clevr.locations(), 49):
        images = not_so_clevr.draw_centers(batch)
        found = 64 * answer(image=tf.constant(images))["location"].numpy()
        np.testing.assert_allclose(found, batch, atol=0.5)


def test_rendering_is_right_everywhere():
    import tensorflow as tf

    model = tf.saved_model.load(str(FOLDER / "rendering/1"))
    answer = model.signatures["serving_default"]
    for batch in np.array_split(not_so_clevr.locations(), 49):
        image = answer(location=tf.constant(batch, tf.float32))["image"]
        np.testing.assert_array_equal(
            image.numpy() > 0.5, not_so_clevr.draw_squares(batch) > 0.5
        )
