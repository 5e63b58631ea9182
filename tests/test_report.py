"""Reports whether models use their position: numbers by hand, known truths."""

import sys

import keras
import numpy as np
import position_tasks
import pytest
from keras import layers
from keras import ops

import keras_coordconv
from keras_coordconv import coordinate_report
from keras_coordconv import remove_coordinates
from keras_coordconv.report import CoordinateReport

ROWS = np.linspace(-1, 1, 9)
MSE = keras.losses.MeanSquaredError()


def values(report):
    return {(row.where, row.change): row.value for row in report.rows}


def row_model():
    """Returns the coordinate of the row of a single white pixel."""
    model = keras.Sequential(
        [
            keras.Input((9, 5, 1)),
            keras_coordconv.CoordConv2D(1, 1, axes=(0,), name="rows"),
            layers.GlobalMaxPooling2D(),
            layers.Rescaling(1.0, offset=-10),
        ]
    )
    model.set_weights([np.array([[[[10.0], [1.0]]]]), np.zeros(1)])
    return model


def one_pixel_each():
    """One image per row."""
    x = np.zeros((9, 9, 5, 1), "float32")
    x[np.arange(9), np.arange(9), 2] = 1
    return x


def test_metric_of_each_change_by_hand():
    y = ROWS[:, None]
    report = coordinate_report(row_model(), one_pixel_each(), y, MSE)
    assert report.metric == "mean_squared_error"
    # A third of nine rows further, reflected: 3 to 8, then 7, 6, 5.
    shifted = ROWS[[3, 4, 5, 6, 7, 8, 7, 6, 5]]
    expected = {
        "constant": np.mean(ROWS**2),
        "mirrored": np.mean((2 * ROWS) ** 2),
        "shifted": np.mean((shifted - ROWS) ** 2),
    }
    found = values(report)
    assert found.keys() == {("all coordinates", name) for name in expected}
    for name, value in expected.items():
        assert found["all coordinates", name] == pytest.approx(value, rel=1e-5)
    assert report.value == pytest.approx(0, abs=1e-9)
    assert report.chance == pytest.approx(
        np.mean((np.roll(ROWS, 1) - ROWS) ** 2)
    )
    mirrored = report.rows[1]
    # Nine examples are nine parts; Student's t with 8 degrees of freedom.
    squares = (2 * ROWS) ** 2
    half_width = 2.306 * squares.std(ddof=1) / 3
    assert mirrored.difference == pytest.approx(squares.mean(), rel=1e-5)
    assert mirrored.interval == pytest.approx(half_width, rel=1e-3)
    assert mirrored.outputs == pytest.approx(2, rel=1e-5)
    assert report.share(mirrored) == pytest.approx(1)
    assert report.uses_position
    assert "mirrored changes mean_squared_error from" in report.advice
    lines = str(report).splitlines()
    assert lines[3].split()[:4] == ["all", "coordinates:", "constant", "0.4167"]
    assert lines[-2].startswith("exchanged: does not apply")
    assert lines[-1] == report.advice


def test_borders_stay_where_the_kernel_reaches_padding():
    """Of nine rows, the outer one on both sides; two of seven further."""
    layer = keras_coordconv.CoordConv1D(1, 3, padding="same")
    model = keras.Sequential([keras.Input((9, 1)), layer])
    kernel = np.zeros((3, 2, 1))
    kernel[1, 1] = 1
    model.set_weights([kernel, np.zeros(1)])
    order = [0, 3, 4, 5, 6, 7, 6, 5, 8]
    y = np.broadcast_to(ROWS[:, None], (2, 9, 1))
    report = coordinate_report(model, np.zeros((2, 9, 1)), y, MSE)
    assert values(report)["all coordinates", "shifted"] == pytest.approx(
        np.mean((ROWS[order] - ROWS) ** 2), rel=1e-5
    )


def several_layers_model():
    """Coordinates in three layers, one in a nested model."""
    inner = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras_coordconv.CoordConv2DTranspose(
                3, 3, strides=2, padding="same", name="inner"
            ),
        ]
    )
    image = keras.Input((6, 8, 2), name="image")
    x = keras_coordconv.CoordinateChannel2D(name="channels")(image)
    x = keras_coordconv.CoordSeparableConv2D(
        3, 3, strides=2, activation="tanh", name="separable"
    )(x)
    outputs = {"map": inner(x), "numbers": layers.GlobalMaxPooling2D()(x)}
    model = keras.Model({"image": image}, outputs)
    model.compile(
        loss={"map": "mse", "numbers": "mse"},
        metrics={"map": ["mae"], "numbers": []},
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    return model


def test_each_layer_and_all_at_once():
    model = several_layers_model()
    random = np.random.default_rng(1)
    x = {"image": random.normal(size=(7, 6, 8, 2)).astype("float32")}
    y = keras.tree.map_structure(
        lambda own: random.normal(size=own.shape), model.predict(x, verbose=0)
    )
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    report = coordinate_report(model, x, y, batch_size=3)
    assert report.metric == "map_mae"
    assert report.value == pytest.approx(before["map_mae"], rel=1e-5)
    groups = ["all coordinates", "channels", "separable", "inner"]
    assert [*dict.fromkeys(row.where for row in report.rows)] == groups
    assert len(report.rows) == 12
    assert len({row.value for row in report.rows}) == 12
    # Without coordinates, as `remove_coordinates` makes it.
    plain = remove_coordinates(model, x)
    map_of_plain = ops.convert_to_numpy(plain(x)["map"])
    constant = values(report)["all coordinates", "constant"]
    assert constant == pytest.approx(
        np.abs(map_of_plain - y["map"]).mean(), rel=1e-5
    )
    loss = coordinate_report(model, x, y, "loss", batch_size=7)
    assert loss.metric == "loss"
    assert loss.value == pytest.approx(before["loss"], rel=1e-5)
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    assert after == pytest.approx(before)


def test_examples_are_exchanged_where_each_has_its_frame():
    image = keras.Input((3, 3, 1), name="image")
    affine = keras.Input((1, 3), name="affine")
    layer = keras_coordconv.CoordConv2D(1, 1, name="first")
    x = layers.GlobalMaxPooling2D()(layer(image, affine=affine))
    model = keras.Model([image, affine], x)
    model.set_weights([np.array([[[[0.0], [1.0]]]]), np.zeros(1)])
    origins = np.array([0.0, 3.0, 5.0, 6.0])
    frames = np.zeros((4, 1, 3))
    frames[:, 0, 2] = origins
    x = [np.zeros((4, 3, 3, 1)), frames]
    metric = keras.metrics.MeanAbsoluteError()
    report = coordinate_report(model, x, origins[:, None], metric)
    found = values(report)
    # 6, 3, 2 and 1 away from the one before.
    assert found["all coordinates", "exchanged"] == 3.0
    assert found["all coordinates", "constant"] == 2.0  # From 3.5.
    assert found["all coordinates", "mirrored"] == 0.0
    assert not report.note


def wide_model(padding, layer):
    return keras.Sequential(
        [
            keras.Input((16, 24, 1)),
            layers.Conv2D(4, 3, padding=padding, activation="relu"),
            layers.Conv2D(4, 3, padding=padding, activation="relu"),
            layer,
        ]
    )


def two_blobs(count=20):
    """Two white pixels in the middle, whose distance is the target."""
    random = np.random.default_rng(0)
    distance = random.integers(1, 5, count)
    x = np.zeros((count, 16, 24, 1), "float32")
    x[np.arange(count), 8, 10] = 1
    x[np.arange(count), 8, 10 + distance] = 1
    return x, distance


def test_images_are_moved_where_there_are_no_coordinates():
    x, distance = two_blobs()
    metric = keras.metrics.SparseCategoricalAccuracy()
    report = coordinate_report(
        wide_model("same", layers.GlobalMaxPooling2D()), x, distance - 1, metric
    )
    moves = [
        "moved by 2 to the start of axis 0",
        "moved by 2 to the end of axis 0",
        "moved by 3 to the start of axis 1",
        "moved by 3 to the end of axis 1",
    ]
    assert [row.change for row in report.rows] == moves
    # Far from the border, the maximum of a convolution does not change.
    assert [row.outputs for row in report.rows] == pytest.approx([0] * 4)
    assert report.uses_position is False
    assert "does not depend on the position" in report.advice

    flat = keras.Sequential(
        [keras.Input((16, 24, 1)), layers.Flatten(), layers.Dense(4)]
    )
    kernel = np.zeros((16, 24, 4))
    for number in range(4):
        kernel[8, 11 + number, number] = 1
    flat.set_weights([kernel.reshape(-1, 4), np.zeros(4)])
    report = coordinate_report(flat, x, distance - 1, metric)
    assert report.value == 1
    assert report.uses_position is True
    assert "without coordinates" in report.advice
    # Moved by two rows, all kernels are 0: the first class is predicted.
    share = np.mean(distance == 1)
    assert values(report)["images", moves[0]] == pytest.approx(share)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
def test_maps_move_with_the_images(padding, strides):
    """The convolution is the identity, at every stride."""
    layer = layers.Conv2D(1, 3, strides, padding=padding, use_bias=False)
    model = keras.Sequential([keras.Input((16, 32, 1)), layer])
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.set_weights([kernel])
    x = np.random.default_rng(0).normal(size=(12, 16, 32, 1))
    y = model.predict(x, verbose=0)
    report = coordinate_report(model, x, y, MSE)
    assert report.value == 0
    assert [row.value for row in report.rows] == [0, 0, 0, 0]
    assert report.chance > 0.5
    assert report.uses_position is False


def test_targets_without_channels_move_with_the_images():
    """The class of each pixel is the sign of its image."""
    layer = layers.Conv2D(2, 1)
    model = keras.Sequential([keras.Input((16, 32, 1)), layer])
    model.set_weights([np.array([[[[-1.0, 1.0]]]]), np.zeros(2)])
    x = np.random.default_rng(0).normal(size=(12, 16, 32, 1))
    y = (x[..., 0] > 0).astype("int32")
    metric = keras.metrics.SparseCategoricalAccuracy()
    report = coordinate_report(model, x, y, metric)
    assert [row.value for row in report.rows] == [1, 1, 1, 1]
    assert report.uses_position is False


def test_small_but_certain_effect():
    """The rows are a tenth of the output, and a part of the target."""
    inputs = keras.Input((16, 16, 1))
    x = keras_coordconv.CoordConv2D(1, 1, coordinate_range=(0, 1))(inputs)
    model = keras.Model(inputs, x)
    kernel = np.array([1.0, 0.4, 0.0]).reshape(1, 1, 3, 1)
    model.set_weights([kernel, np.zeros(1)])
    x = np.random.default_rng(0).normal(size=(40, 16, 16, 1))
    y = model.predict(x, verbose=0)
    report = coordinate_report(model, x, y, MSE)
    assert report.uses_position is False
    assert "compare the model with a plain one" in report.advice


def test_a_model_that_has_learned_nothing():
    random = np.random.default_rng(0)
    x, y = one_pixel_each(), random.normal(size=(len(ROWS), 1))
    x, y = np.tile(x, (4, 1, 1, 1)), random.normal(size=(4 * len(ROWS), 1))
    report = coordinate_report(row_model(), x, y, MSE)
    assert report.uses_position is None
    assert "no better than with exchanged targets" in report.advice


def test_padding_is_seen_at_the_border():
    """A convolution that only depends on the zeros around the image."""
    layer = layers.Conv2D(1, 7, padding="same", use_bias=False)
    model = keras.Sequential([keras.Input((16, 16, 1)), layer])
    model.set_weights([np.ones((7, 7, 1, 1)) / 49])
    x = np.ones((4, 16, 16, 1))
    y = np.ones((4, 16, 16, 1))
    report = coordinate_report(model, x, y, MSE)
    assert report.rows[0].outputs > 0.5
    assert report.uses_position is True


def test_too_few_examples_do_not_decide():
    x, y = one_pixel_each()[[0, 7]], ROWS[[0, 7], None]
    report = coordinate_report(row_model(), x, y, MSE)
    assert report.uses_position is None
    assert "do not suffice to decide" in report.advice


def test_figure():
    pytest.importorskip("matplotlib")
    report = coordinate_report(
        row_model(),
        one_pixel_each(),
        ROWS[:, None],
        MSE,
    )
    (axes,) = report.plot().axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [
        f"all coordinates: {name}"
        for name in ("constant", "mirrored", "shifted")
    ]
    points = [
        line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"
    ]
    expected = [row.value for row in report.rows]
    np.testing.assert_allclose(points, expected, rtol=1e-5)
    assert axes.get_xlabel() == "mean_squared_error"


def test_figure_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    report = CoordinateReport("loss", 0.0, 1.0, [], "", None, "")
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        report.plot()


def compiled(**arguments):
    model = row_model()
    model.compile(loss="mse", **arguments)
    return model


@pytest.mark.parametrize(
    ("make_model", "x", "y", "metric", "message"),
    [
        (row_model, one_pixel_each(), ROWS, None, "not compiled"),
        (row_model, one_pixel_each(), ROWS, 3, "`metric` must be"),
        (compiled, one_pixel_each(), ROWS[:, None], "iou", "Available: loss"),
        (compiled, one_pixel_each(), ROWS[:5], None, r"9 and \[5\] examples"),
        (compiled, np.zeros((9, 4, 5, 1)), ROWS, None, "must be arrays"),
        (
            lambda: keras.Sequential([keras.Input((3,)), layers.Dense(1)]),
            np.zeros((4, 3)),
            np.zeros((4, 1)),
            "mse",
            "not compiled",
        ),
        (
            lambda: keras.Sequential([keras.Input((3,)), layers.Dense(1)]),
            np.zeros((4, 3)),
            np.zeros((4, 1)),
            keras.metrics.MeanSquaredError,
            "needs images of one size",
        ),
    ],
)
def test_errors(make_model, x, y, metric, message):
    if isinstance(metric, type):
        metric = metric()
    with pytest.raises(ValueError, match=message):
        coordinate_report(make_model(), x, y, metric)


@pytest.mark.slow
@pytest.mark.parametrize("name", position_tasks.TASKS)
def test_tasks_of_known_truth(name):
    output, has_frame, needs_position, targets_of = position_tasks.TASKS[name]
    train, test = (
        position_tasks.draw(count, seed)
        for count, seed in ((3000, 0), (400, 1))
    )
    model = position_tasks.build_model(output, has_frame)
    model.fit(
        position_tasks.inputs_of(train, has_frame),
        targets_of(train),
        epochs=6,
        verbose=0,
    )
    report = coordinate_report(
        model, position_tasks.inputs_of(test, has_frame), targets_of(test)
    )
    print(report)
    assert report.uses_position is needs_position, str(report)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flat"), [("half", True), ("shape", False)])
def test_tasks_without_coordinates(name, flat):
    """A dense layer on all positions knows where it looks."""
    output, _, needs_position, targets_of = position_tasks.TASKS[name]
    train, test = (
        position_tasks.draw(count, seed)
        for count, seed in ((3000, 0), (400, 1))
    )
    model = position_tasks.build_model(output, False, layers.Conv2D)
    if flat:
        x = layers.Flatten()(model.layers[2].output)
        model = keras.Model(model.input, layers.Dense(2, "softmax")(x))
        model.compile(
            "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
    model.fit(train["image"], targets_of(train), epochs=6, verbose=0)
    report = coordinate_report(model, test["image"], targets_of(test))
    assert report.uses_position is needs_position, str(report)
