import keras
import numpy as np
import pytest
from keras import ops
from reference import numpy_coordinates

from keras_coordconv.experiments.models.coordinate_classification import (
    conv_classifier,
)
from keras_coordconv.experiments.models.coordinate_classification import (
    coordconv_classifier,
)
from keras_coordconv.experiments.models.coordinate_classification import (
    serving_outputs,
)


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
def test_l2_is_lambda_times_the_sum_of_squared_kernels(build):
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


def test_coordconv_model_in_numpy():
    # Each pixel on its own: (x, y, i, j) through five dense layers.
    model = coordconv_classifier()
    random = np.random.default_rng(0)
    model.set_weights(
        [0.3 * random.normal(size=w.shape) for w in model.get_weights()]
    )
    locations = np.array([[10.0, 50.0], [59.0, 4.0]])
    grid = numpy_coordinates((64, 64), coordinate_range="pixel")
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


@pytest.mark.parametrize(
    ("units", "location", "coordinates"),
    [
        ("pixels", [10.0, 50.0], "pixel"),
        ("mixed", [10.0, 50.0], (-1, 1)),
        ("normalized", [10 / 31.5 - 1, 50 / 31.5 - 1], (-1, 1)),
    ],
)
def test_units_of_the_first_layer_in_numpy(units, location, coordinates):
    model = coordconv_classifier(units=units)
    first = model.get_layer("coordconv1")
    kernel, bias = first.get_weights()
    grid = numpy_coordinates((64, 64), coordinate_range=coordinates)
    widened = np.concatenate(
        [np.broadcast_to(location, (64, 64, 2)), grid], axis=-1
    )
    features = keras.Model(model.inputs, first.output)(np.array([[10.0, 50.0]]))
    np.testing.assert_allclose(
        ops.convert_to_numpy(features)[0],
        np.maximum(widened @ kernel[0, 0] + bias, 0),
        rtol=1e-4,
        atol=1e-4,
    )


def test_unknown_units():
    with pytest.raises(ValueError, match="Received: units='inches'"):
        coordconv_classifier(units="inches")


def test_first_layer_scale():
    kernels = []
    for scale in (1.0, 0.1):
        keras.utils.set_random_seed(0)
        model = coordconv_classifier(first_layer_scale=scale)
        kernels.append([w for w in model.get_weights() if w.ndim == 4])
    # He's standard deviation for four inputs; the other layers do not change.
    assert 0.8 < np.std(kernels[0][0]) / np.sqrt(2 / 4) < 1.2
    np.testing.assert_allclose(kernels[1][0], 0.1 * kernels[0][0], rtol=1e-5)
    for own, other in zip(kernels[0][1:], kernels[1][1:], strict=True):
        np.testing.assert_array_equal(own, other)


def test_handwritten_weights_solve_the_task():
    # "The task is trivial arithmetic": relu(x - j), relu(j - x) and so on; the
    # last layer adds them up. No training.
    model = coordconv_classifier()
    weights = [np.zeros(w.shape) for w in model.weights]
    # Input channels x, y, i (row), j (column).
    for unit, (plus, minus) in enumerate([(0, 3), (3, 0), (1, 2), (2, 1)]):
        weights[0][0, 0, [plus, minus], unit] = 1, -1
    for kernel in weights[2:8:2]:
        kernel[0, 0, range(4), range(4)] = 1
    weights[8][0, 0, :4] = -1
    model.set_weights(weights)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    locations = np.array([[x, y] for x in range(4, 60) for y in range(4, 60)])
    pixels = locations[:, 1] * 64 + locations[:, 0]
    chosen = slice(None, None, 5)
    scores = model.evaluate(
        locations[chosen].astype("float32"),
        pixels[chosen],
        verbose=0,
        return_dict=True,
    )
    assert scores["accuracy"] == 1


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
