import keras
import numpy as np
import pytest
from keras import ops

from keras_coordconv.experiments.models.coordinate_classification import (
    coordconv_classifier,
)
from keras_coordconv.experiments.models.position_codes import CODES
from keras_coordconv.experiments.models.position_codes import (
    position_classifier,
)

LOCATIONS = np.array([[10.0, 50.0], [59.0, 4.0]])


def random_model(code):
    model = position_classifier(code)
    random = np.random.default_rng(0)
    model.set_weights(
        [0.3 * random.normal(size=w.shape) for w in model.get_weights()]
    )
    return model


def first_features(model):
    """Outputs of the first layer for `LOCATIONS`, on the whole canvas."""
    first = keras.Model(model.inputs, model.get_layer("relu1").output)
    return ops.convert_to_numpy(first(LOCATIONS))


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("none", 7489),  # 2 x 32 weights less than coordinates.
        ("padding", 9 * (7489 - 193) + 193),  # 193 biases.
        ("coordinates", 7553),
        ("fourier", 7553 + (48 - 4) * 32),
        ("axis", 7553 + (48 - 4) * 32 + 2 * 64 * 12),
        ("pixel", 7553 + (48 - 4) * 32 + 4096 * 24),
        ("unshared", 7553 + (26 - 4) * 32 + 4096 * 24),
        ("relative", 7553 + (24 - 4) * 32 + 2 * 127 * 12),
    ],
)
def test_parameters(code, parameters):
    assert position_classifier(code).count_params() == parameters


def test_coordinates_equal_the_model_of_the_paper():
    model, paper = random_model("coordinates"), coordconv_classifier()
    weights = {weight.path: weight for weight in model.weights}
    # The paper's model has x, y, row, column; this one x, y, column, row.
    positions = np.array(weights.pop("positions1/kernel"))[:, :, ::-1]
    kernel, *others = weights.values()
    paper.set_weights(
        [np.concatenate([kernel, positions], axis=2), *map(np.array, others)]
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(LOCATIONS)),
        ops.convert_to_numpy(paper(LOCATIONS)),
        rtol=1e-4,
        atol=1e-3,
    )


def numpy_code(code, model, x, y):
    """Code of one position, in plain NumPy."""
    if code == "fourier":
        angles = np.array(
            [2 * np.pi * z / 2.0 ** (7 - i) for i in range(6) for z in (x, y)]
        )
        return np.concatenate([np.sin(angles), np.cos(angles)])
    if code == "axis":
        columns, rows = model.get_layer("axes").get_weights()
        return np.concatenate([columns[x], rows[y]])
    (table,) = model.get_layer("table").get_weights()
    return table.reshape(64, 64, 24)[y, x]


@pytest.mark.parametrize("code", ["fourier", "axis", "pixel", "unshared"])
def test_first_layer_in_numpy(code):
    model = random_model(code)
    query_kernel, bias = model.get_layer("conv1").get_weights()
    (position_kernel,) = model.get_layer("positions1").get_weights()
    features = first_features(model)
    for number, (x, y) in enumerate(LOCATIONS.astype(int)):
        query = [x, y]
        if code != "unshared":
            query = numpy_code(code, model, x, y)
        for row, column in ((0, 63), (17, 5), (y, x)):
            position = numpy_code(code, model, column, row)
            expected = (
                query @ query_kernel[0, 0]
                + position @ position_kernel[0, 0]
                + bias
            )
            np.testing.assert_allclose(
                features[number, row, column],
                np.maximum(expected, 0),
                rtol=1e-4,
                atol=1e-4,
            )


def test_relative_offsets_in_numpy():
    model = random_model("relative")
    columns, rows = model.get_layer("offsets").get_weights()
    kernel, bias = model.get_layer("conv1").get_weights()
    features = first_features(model)
    for number, (x, y) in enumerate(LOCATIONS.astype(int)):
        for row, column in ((0, 63), (63, 0), (y, x)):
            code = np.concatenate(
                [columns[column - x + 63], rows[row - y + 63]]
            )
            np.testing.assert_allclose(
                features[number, row, column],
                np.maximum(code @ kernel[0, 0] + bias, 0),
                rtol=1e-4,
                atol=1e-4,
            )


def test_without_a_code_all_pixels_get_the_same_logit():
    logits = ops.convert_to_numpy(random_model("none")(LOCATIONS))
    assert np.ptp(logits, axis=-1).max() == 0
    assert logits[0, 0] != logits[1, 0]


def test_padding_reaches_five_pixels_from_the_border():
    logits = ops.convert_to_numpy(random_model("padding")(LOCATIONS))
    logits = logits.reshape(2, 64, 64)
    inside = logits[:, 5:-5, 5:-5]
    np.testing.assert_allclose(
        inside, np.broadcast_to(inside[:, :1, :1], inside.shape), rtol=1e-4
    )
    assert np.all(np.abs(logits[:, 4, 5:-5] - inside[:, :1, 0]) > 1e-3)


@pytest.mark.parametrize("code", ["coordinates", "axis"])
def test_he_initialization_for_both_inputs_together(code):
    kernels = []
    for scale in (1.0, 0.1):
        keras.utils.set_random_seed(0)
        model = position_classifier(code, first_layer_scale=scale)
        pair = [model.get_layer(n).kernel for n in ("conv1", "positions1")]
        kernels.append(np.concatenate([np.array(k)[0, 0] for k in pair]))
    fan_in = len(kernels[0])
    assert 0.8 < np.std(kernels[0]) / np.sqrt(2 / fan_in) < 1.2
    np.testing.assert_allclose(kernels[1], 0.1 * kernels[0], rtol=1e-5)


@pytest.mark.parametrize("code", CODES)
def test_keras_file(tmp_path, code):
    model = position_classifier(code, l2=0.001)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(LOCATIONS)),
        ops.convert_to_numpy(loaded(LOCATIONS)),
    )
    # One per kernel.
    assert len(model.losses) == 5 + ("positions1" in str(model.weights))


def test_unknown_code():
    with pytest.raises(ValueError, match="Received: code='letters'"):
        position_classifier("letters")
