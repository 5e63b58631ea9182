import pathlib

import numpy as np
import position_probes
import pytest

from keras_coordconv.experiments.training import results

pytestmark = pytest.mark.tensorflow_backend
RANDOM = np.random.default_rng(0)
SMALL = ("--limit-examples", 40, "--epochs", 2)


@pytest.mark.parametrize(
    ("probe", "names"),
    [
        ("row", {"conv_valid", "conv_same", "coordconv_same"}),
        ("side", {"conv_valid", "conv_same", "coordconv_same"}),
    ],
)
def test_small_run(scripts, probe, names):
    metrics = position_probes.main(
        [*("--probe", probe, "--workdir", "run"), *map(str, SMALL)]
    )
    assert results.read_metrics("run") == metrics
    scores = {"row": ("distance", "r2"), "side": ("accuracy",)}[probe]
    assert metrics.keys() - {"seconds", "parameters"} == {
        f"{name}_{subset}_{score}"
        for name in names
        for subset in ("train", "test")
        for score in scores
    }
    # A row that is always answered with the mean has 0.
    assert all(metrics[name] < 1 for name in metrics if name.endswith("r2"))
    figure = pathlib.Path("run/figures/by_position.png").read_bytes()
    assert figure.startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_and_resumed(scripts):
    flags = ("--probe", "strides", "--limit-examples", 20, "--epochs", 4)
    _, rows = scripts.kill_and_resume("position_probes", *flags)
    assert len(rows) == 5


def test_split_is_refused_where_it_has_no_effect(scripts, capsys):
    with pytest.raises(SystemExit, match="2"):
        position_probes.main(["--split", "quadrant"])
    message = capsys.readouterr().err
    assert "--split has no effect here" in message


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


@pytest.mark.parametrize("split", position_probes.SPLITS)
@pytest.mark.parametrize("patch_size", [1, 3])
def test_each_position_once_and_drawn_there(split, patch_size):
    subsets = [
        position_probes.patches(split, subset, patch_size)
        for subset in ("train", "test")
    ]
    centers = np.concatenate([s["location"] for s in subsets])
    images = np.concatenate([s["image"] for s in subsets])
    assert len({*map(tuple, centers)}) == len(centers) == (33 - patch_size) ** 2
    assert (images.sum(axis=(1, 2, 3)) == patch_size**2).all()
    rows, columns = images[..., 0].nonzero()[1:]
    found = np.stack([columns, rows], axis=-1)
    np.testing.assert_allclose(
        found.reshape(len(centers), -1, 2).mean(axis=1), centers
    )


def test_quadrant():
    test = position_probes.patches("quadrant", "test")["location"]
    assert len(test) == 16**2 and test.min() == 16
    test = position_probes.patches("uniform", "test")["location"]
    assert 0.2 < len(test) / 32**2 < 0.3


def test_limit_examples():
    some = position_probes.patches(limit_examples=10)["location"]
    assert len(some) == 10 and some[0, 1] == 0 and some[-1, 1] == 31
