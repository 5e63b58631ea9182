import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

from keras_coordconv.experiments.models import coordinate_regression

MODELS = {
    "coordconv_regressor": 906,
    "soft_argmax_regressor": 833,
    "conv_regressor_uniform": 72_850,
    "conv_regressor_quadrant": 12_914,
}


@pytest.mark.parametrize(("name", "parameters"), MODELS.items())
def test_parameters_names_and_shapes(name, parameters):
    model = getattr(coordinate_regression, name)()
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == parameters
    assert [tensor.name for tensor in model.inputs] == ["image"]
    assert model.output_names == ["location"]
    assert model.output_shape == (None, 2)


def test_soft_argmax_reads_off_the_location_without_coordinates():
    model = coordinate_regression.soft_argmax_regressor("conv", input_scale=50)
    assert model.count_params() == 817
    weights = [np.zeros(w.shape) for w in model.weights]
    for kernel in weights[::2]:
        middle = kernel.shape[0] // 2
        kernel[middle, middle, 0, 0] = 1.0
    model.set_weights(weights)
    image = np.zeros((1, 64, 64, 1))
    image[0, 50, 10] = 1.0
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(image)), [[10 / 64, 50 / 64]], atol=1e-5
    )


def test_coordconv_model_can_read_off_the_location():
    # Handwritten weights: 2 at the white pixel, plus its coordinates.
    model = coordinate_regression.coordconv_regressor()
    weights = [np.zeros(w.shape) for w in model.weights]
    weights[0][0, 0, 0, :2] = 2.0  # The pixel raises both channels;
    weights[0][0, 0, 2, 0] = 1.0  # j goes into the first
    weights[0][0, 0, 1, 1] = 1.0  # and i into the second one.
    for kernel in weights[2::2]:
        middle = kernel.shape[0] // 2
        kernel[middle, middle, :2, :2] = np.eye(2)
    model.set_weights(weights)
    image = np.zeros((1, 64, 64, 1))
    image[0, 50, 10] = 1.0
    row, column = numpy_coordinates((64, 64))[50, 10]
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(image)), [[2 + column, 2 + row]], rtol=1e-5
    )


def test_input_scale_and_first_layer_scale():
    kernels = []
    for scale in (1.0, 1 / 64):
        keras.utils.set_random_seed(0)
        model = coordinate_regression.coordconv_regressor(
            input_scale=255.0, first_layer_scale=scale
        )
        kernels.append(model.get_layer("coordconv1").get_weights()[0])
    np.testing.assert_allclose(kernels[1], kernels[0] / 64, rtol=1e-5)
    image = np.zeros((1, 64, 64, 1), "float32")
    image[0, 50, 10] = 1.0
    scaled = keras.Model(model.inputs, model.get_layer("input_scale").output)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(scaled(image)), 255 * image
    )
