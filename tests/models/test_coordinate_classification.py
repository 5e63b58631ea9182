import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

from keras_coordconv.models.coordinate_classification import conv_classifier
from keras_coordconv.models.coordinate_classification import (
    coordconv_classifier,
)
from keras_coordconv.models.coordinate_classification import serving_outputs


def trainable_parameters(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_coordconv_parameters():
    model = coordconv_classifier()
    assert trainable_parameters(model) == model.count_params() == 7553


@pytest.mark.parametrize(
    ("filter_size", "width", "parameters"),
    [
        (2, 1, 46_465),
        (3, 1, 103_585),
        (4, 1, 183_553),
        (2, 2, 183_041),
        (3, 2, 409_921),
        (4, 2, 727_553),
        (2, 3, 409_729),
        (3, 3, 919_009),
        (4, 3, 1_632_001),
    ],
)
def test_conv_parameters(filter_size, width, parameters):
    model = conv_classifier(filter_size, width)
    assert trainable_parameters(model) == parameters


@pytest.mark.parametrize("build", [conv_classifier, coordconv_classifier])
def test_names_and_shapes(build):
    model = build()
    assert [tensor.name for tensor in model.inputs] == ["location"]
    assert model.output_names == ["logits"]
    logits = model(np.array([[4.0, 5.0], [59.0, 4.0], [20.0, 30.0]]))
    assert tuple(logits.shape) == (3, 4096)


@pytest.mark.parametrize("build", [conv_classifier, coordconv_classifier])
def test_l2_is_lambda_times_sum_of_squares_of_kernels_only(build):
    model = build(l2=0.01)
    squares = sum(
        np.sum(np.square(ops.convert_to_numpy(w)))
        for w in model.trainable_weights
        if w.path.endswith("kernel")
    )
    kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
    assert len(model.losses) == len(kernels)
    np.testing.assert_allclose(
        sum(float(loss) for loss in model.losses), 0.01 * squares, rtol=1e-5
    )


def test_coordconv_net_is_the_paper_s_in_numpy():
    # Every pixel on its own: (x, y, i, j) through five dense layers.
    model = coordconv_classifier()
    random = np.random.default_rng(0)
    model.set_weights(
        [0.3 * random.normal(size=w.shape) for w in model.get_weights()]
    )
    locations = np.array([[10.0, 50.0], [59.0, 4.0]])
    grid = numpy_coordinates((64, 64))
    weights = model.get_weights()
    for location, logits in zip(
        locations, ops.convert_to_numpy(model(locations)), strict=True
    ):
        x = np.concatenate(
            [np.broadcast_to(location, (64, 64, 2)), grid], axis=-1
        )
        for layer in range(5):
            kernel, bias = weights[2 * layer : 2 * layer + 2]
            x = x @ kernel[0, 0] + bias
            if layer < 4:
                x = np.maximum(x, 0)
        np.testing.assert_allclose(logits, x.ravel(), rtol=1e-4, atol=1e-3)


def test_offsets_at_the_start_in_numpy():
    model = coordconv_classifier(initialization="offsets")
    kernel, bias = model.get_layer("coordconv1").get_weights()
    x, y = 10.0, 50.0
    grid = numpy_coordinates((64, 64))
    features = grid @ kernel[0, 0, 2:] + [x, y] @ kernel[0, 0, :2] + bias
    # At the pixel itself nothing, and the same along every diagonal.
    np.testing.assert_allclose(features[50, 10], 0, atol=1e-4)
    rows, columns = np.mgrid[:64, :64]
    expected = (x - columns)[..., None] * kernel[0, 0, 0] + (y - rows)[
        ..., None
    ] * kernel[0, 0, 1]
    np.testing.assert_allclose(features, expected, atol=1e-4)
    # He's standard deviation for four inputs, an eighth of it.
    assert 0.5 < np.std(kernel[0, 0, :2]) / (np.sqrt(2 / 4) / 8) < 1.5


def test_unknown_initialization():
    with pytest.raises(ValueError, match="Received: initialization='zeros'"):
        coordconv_classifier(initialization="zeros")


@pytest.mark.parametrize("build", [conv_classifier, coordconv_classifier])
def test_keras_file(tmp_path, build):
    model = build(l2=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    locations = np.array([[10.0, 50.0]])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(locations)),
        ops.convert_to_numpy(loaded(locations)),
    )


def test_serving_outputs_by_hand():
    logits = np.full((2, 4096), -1.0, "float32")
    logits[0, 64 * 7 + 3] = 2.0
    logits[1, 4095] = 50.0
    outputs = {
        name: ops.convert_to_numpy(value)
        for name, value in serving_outputs(
            ops.convert_to_tensor(logits)
        ).items()
    }
    assert outputs["row"].tolist() == [7, 63]
    assert outputs["column"].tolist() == [3, 63]
    np.testing.assert_allclose(
        outputs["probabilities"][0, 64 * 7 + 3],
        1 / (1 + 4095 * np.exp(-3.0)),
        rtol=1e-5,
    )
    np.testing.assert_allclose(outputs["probabilities"].sum(-1), 1, rtol=1e-5)
