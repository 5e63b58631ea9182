import numpy as np
import pytest
from keras import ops

from keras_coordconv.experiments.models.rendering import conv_renderer
from keras_coordconv.experiments.models.rendering import coordconv_renderer
from keras_coordconv.experiments.models.rendering import serving_outputs

LOCATIONS = np.array([[10.0, 50.0], [59.0, 4.0]])


@pytest.mark.parametrize(("width", "parameters"), [(1, 8074), (2, 9490)])
def test_coordconv_parameters(width, parameters):
    assert coordconv_renderer(1, width).count_params() == parameters


def test_names_and_shapes():
    for build, outputs in (
        (coordconv_renderer, {"center", "image"}),
        (conv_renderer, {"image"}),
    ):
        model = build()
        assert [tensor.name for tensor in model.inputs] == ["location"]
        answer = model(LOCATIONS)
        assert set(answer) == outputs
        assert tuple(answer["image"].shape) == (2, 64, 64, 1)


def test_painting_in_numpy():
    # After the softmax over all pixels, each pixel on its own.
    model = coordconv_renderer(1, 1, first_layer_scale=0.03)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("paint"):
            layer.set_weights(
                [random.normal(size=w.shape) for w in layer.weights]
            )
    answer = {k: ops.convert_to_numpy(v) for k, v in model(LOCATIONS).items()}
    exponentials = np.exp(answer["center"] - answer["center"].max(-1)[:, None])
    x = exponentials / exponentials.sum(axis=-1, keepdims=True)
    x = x.reshape(2, 64, 64, 1)
    for index in range(1, 6):
        kernel, bias = model.get_layer(f"paint{index}").get_weights()
        x = x @ kernel[0, 0] + bias
        if index < 5:
            x = np.maximum(x, 0)
    np.testing.assert_allclose(answer["image"], x, rtol=1e-4, atol=1e-4)


def test_center_scale():
    kernels = [
        coordconv_renderer(1, 100, center_scale=scale)
        .get_layer("paint1")
        .get_weights()[0]
        for scale in (1, 32)
    ]
    # He's standard deviation for one input.
    stds = [np.std(kernel) for kernel in kernels]
    np.testing.assert_allclose(stds, [np.sqrt(2), 32 * np.sqrt(2)], rtol=0.1)


def test_serving_outputs():
    outputs = serving_outputs({"image": ops.zeros((1, 64, 64, 1))})
    np.testing.assert_allclose(ops.convert_to_numpy(outputs["image"]), 0.5)
