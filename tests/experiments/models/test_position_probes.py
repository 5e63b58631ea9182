"""What the nets can see, by moving what they are shown."""

import numpy as np
import pytest

from keras_coordconv.experiments.models import position_probes

RANDOM = np.random.default_rng(0)


def test_random_convolutions_see_the_border_or_not():
    image = RANDOM.uniform(size=(1, 32, 32, 1)).astype("float32")
    lower = np.roll(image, 1, axis=1)
    for padding, seen in (("same", True), ("valid", False)):
        model = position_probes.row_readout("conv", padding)
        rows = model.predict(image, verbose=0)
        moved = model.predict(lower, verbose=0)
        assert rows.shape[1] == (32 if seen else 16)
        difference = abs(moved[:, 1:] - rows[:, :-1]).max(axis=(0, 2, 3))
        if seen:
            # Beyond 8 pixels from the borders, they cannot tell.
            assert difference[0] > 1e-4
            middle = abs(moved[:, 9:24, 8:24] - rows[:, 8:23, 8:24])
            assert middle.max() < 1e-5
        else:
            assert difference.max() < 1e-5
        assert len(model.trainable_weights) == 2


def test_coordconv_reads_out_the_row():
    model = position_probes.row_readout("coordconv", "same")
    kernel = np.zeros((1, 1, 18, 1))
    kernel[0, 0, 16] = 1
    model.get_layer("row").set_weights([kernel, np.zeros(1)])
    rows = model.predict(np.zeros((1, 32, 32, 1)), verbose=0)[0, :, :, 0]
    expected = np.broadcast_to(np.linspace(-1, 1, 32)[:, None], (32, 32))
    np.testing.assert_allclose(rows, expected, atol=1e-6)


def test_side_classifier_is_blind_in_the_middle():
    images = np.zeros((2, 32, 32, 1))
    images[0, 10:13, 12:15] = images[1, 10:13, 17:20] = 1
    for layer, differ in (("conv", False), ("coordconv", True)):
        model = position_probes.side_classifier(layer)
        left, right = model.predict(images, verbose=0)[:, 0]
        assert (abs(left - right) > 1e-4) == differ


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("head", ["dense", "average"])
def test_strided_regressor(strides, head):
    model = position_probes.strided_regressor("coordconv", strides, head)
    assert model.output_shape == (None, 2)
    size = 32 // strides**4 if head == "dense" else 1
    # 3x3 kernels of 16 filters: of 3 channels, and 3 times of 16.
    first, others = 9 * 3 * 16 + 16, 3 * (9 * 16 * 16 + 16)
    assert model.count_params() == first + others + 2 * (16 * size**2 + 1)


def test_limit_of_the_coordinates():
    # Behind a kernel that passes the row on, and a mean over a black image of
    # which the lower half is seen: the mean of its coordinates.
    model = position_probes.strided_regressor(
        "coordconv", 1, "average", depth=1, coordinate_limit=0.1
    )
    kernel = np.zeros((3, 3, 3, 16))
    kernel[1, 1, 1, 0] = 1
    model.get_layer("coordconv1").set_weights([kernel, np.zeros(16)])
    head = np.zeros((16, 2))
    head[0, 0] = 1
    model.get_layer("location").set_weights([head, np.zeros(2)])
    (answer,) = model.predict(np.zeros((1, 32, 32, 1)), verbose=0)
    rows = np.linspace(-0.1, 0.1, 32)
    np.testing.assert_allclose(answer, [rows[16:].sum() / 32, 0], atol=1e-6)
