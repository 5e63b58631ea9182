import itertools
import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation import coverage
from keras_coordconv.experiments.plots import generators
from keras_coordconv.experiments.training.results import read_run


def write_run(folder, scores, final, seconds=10):
    folder.mkdir(parents=True)
    args = {"layer": "conv", "split": "uniform"}
    (folder / "args.json").write_text(json.dumps(args))
    (folder / "metrics.json").write_text(
        json.dumps({"train_iou": final[0], "test_iou": final[1]})
    )
    rows = [f"{i + 1},{seconds * (i + 1)},{s}" for i, s in enumerate(scores)]
    (folder / "history.csv").write_text(
        "\n".join(["epoch,seconds,val_iou", *rows]) + "\n"
    )
    return read_run(folder)


def test_scores_are_drawn_where_they_are(tmp_path):
    runs = [
        write_run(tmp_path / "1", [0.1, 0.5, 0.9], (0.8, 0.7)),
        write_run(tmp_path / "2", [0.3, 0.5, 0.7], (0.6, 0.5)),
        write_run(tmp_path / "3", [0.2, 0.9, 0.8], (0.4, 0.3)),
    ]
    final, over_time = plots.plot_scores({"conv": runs}, "iou").axes
    np.testing.assert_allclose(
        final.collections[0].get_offsets(), [(0.8, 0.7), (0.6, 0.5), (0.4, 0.3)]
    )
    (median,) = over_time.lines
    np.testing.assert_allclose(median.get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(median.get_ydata(), [0.2, 0.5, 0.8])
    corners = over_time.collections[0].get_paths()[0].vertices
    assert {(10, 0.1), (10, 0.3), (20, 0.9), (30, 0.7)} <= {
        tuple(np.round(corner, 6)) for corner in corners
    }


def test_a_layer_and_a_split_have_one_color(tmp_path):
    runs = {
        name: [write_run(tmp_path / name, [0.1, 0.5], (0.8, 0.7))]
        for name in ("wide", "narrow")
    }
    runs["narrow"][0]["args"]["layer"] = "coordconv"
    runs["wider"] = runs["wide"]
    _, over_time = plots.plot_scores(runs, "iou").axes
    wide, narrow, wider = over_time.lines
    assert wide.get_color() == wider.get_color() != narrow.get_color()
    assert wide.get_linestyle() != wider.get_linestyle()


def test_sum_of_images():
    first = np.zeros((2, 4096))
    first[:, 64 * 3 + 5] = 1
    total = plots.sum_images([first, first[:1].reshape(1, 64, 64, 1)])
    assert total.shape == (64, 64)
    assert total[3, 5] == total.sum() == 3


@pytest.mark.parametrize("slower", [1, 4, 7, 20, 500])
def test_labels_of_the_time_do_not_overlap(tmp_path, slower):
    runs = {
        name: [write_run(tmp_path / name, [0.1, 0.5], (0.8, 0.7), seconds)]
        for name, seconds in (("fast", 30), ("slow", 30 * slower))
    }
    figure = plots.plot_scores(runs, "iou")
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[1].xaxis
    low, high = figure.axes[1].get_xlim()
    boxes = [
        label.get_window_extent()
        for label in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))
        if label.get_text() and low <= label.get_position()[0] <= high
    ]
    boxes.sort(key=lambda box: box.x0)
    assert len(boxes) >= 2
    for left, right in itertools.pairwise(boxes):
        assert left.x1 < right.x0


def test_means_by_position():
    answers = {"model": (np.array([3, 1, 3]), np.array([0.5, 0.25, 1.0]))}
    (line,) = plots.plot_by_position(answers, "row", "accuracy").axes[0].lines
    np.testing.assert_allclose(line.get_xydata(), [(1, 0.25), (3, 0.75)])


def test_medians_over_the_scale():
    def run(scale, accuracy):
        weights = np.array([[0.6, -0.8]])
        own = {"scale": scale, "accuracy": accuracy, "weights": weights}
        return {"units": "pixels", **own}

    runs = [run(0.1, 0.2), run(0.1, 0.9), run(1.0, 1.0), run(0.1, 0.8)]
    accuracy, learned = plots.plot_units(runs).axes
    np.testing.assert_allclose(
        accuracy.lines[0].get_xydata(), [(0.1, 0.8), (1.0, 1.0)]
    )
    np.testing.assert_allclose(
        learned.collections[0].get_offsets(), [(0.6, -0.8)] * 4
    )


def test_returns_of_games():
    def run(game, layer, steps, returns):
        """A run with a game at its first step and at each that follows."""
        games = [{"steps": i + 1, "return": x} for i, x in enumerate(returns)]
        return {
            "args": {"game": game, "layer": layer},
            "history": [{"steps": steps / 2}, {"steps": steps}],
            "games": games,
        }

    runs = [
        run("Pong", "conv", 200, range(200)),
        # It goes on: as much of it is drawn as of the other one.
        run("Pong", "conv", 400, [7.0] * 400),
        run("Pong", "coordconv", 50, []),
        run("Tetris", "conv", 50, [6.0]),
    ]
    pong, tetris = plots.plot_returns(runs).axes
    assert (pong.get_title(), tetris.get_title()) == ("Pong", "Tetris")
    lines = {line.get_label(): line for line in pong.lines}
    assert set(lines) == {
        "convolution (2 runs)",
        "CoordConv (1 run)",
        "random",
    }
    conv = lines["convolution (2 runs)"]
    steps = conv.get_xdata()
    np.testing.assert_allclose(steps, np.arange(4, 201, 4))
    # Of 0, 1, 2, ..., the last hundred at most.
    last_hundred = [
        np.mean(range(max(0, n - 100), n)) for n in range(4, 201, 4)
    ]
    np.testing.assert_allclose(
        conv.get_ydata(), (np.array(last_hundred) + 7) / 2
    )
    # CoordConv is drawn first; none of its games is over.
    assert conv.get_color() != lines["CoordConv (1 run)"].get_color()
    assert np.ma.getmaskarray(lines["CoordConv (1 run)"].get_ydata()).all()
    corners = pong.collections[1].get_paths()[0].vertices
    assert (200, 149.5) in {tuple(corner) for corner in corners}
    # Of random play, -20.7 in Pong; of Tetris, none is known.
    np.testing.assert_allclose(lines["random"].get_ydata(), -20.7)
    assert [line.get_label() for line in tetris.lines] == [
        "convolution (1 run)"
    ]


def test_intervals():
    intervals = {"conv": (0.2, 0.1, 0.4), "coordconv": (0.3, 0.2, 0.5)}
    (axis,) = plots.plot_intervals(intervals, "score").axes
    assert axis.get_xlabel() == "score"
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [0.1, 0.4])
    np.testing.assert_allclose(axis.lines[1].get_xdata(), [0.2])


def test_images_side_by_side():
    images = np.array([10, 20, 30], "uint8")[:, None, None, None]
    images = np.tile(images, (1, 2, 3, 3))
    sheet = generators.tile_images(images, columns=2, gap=1, gray=0)
    expected = [
        [10, 10, 10, 0, 20, 20, 20],
        [10, 10, 10, 0, 20, 20, 20],
        [0] * 7,
        [30, 30, 30, 0, 0, 0, 0],
        [30, 30, 30, 0, 0, 0, 0],
    ]
    for channel in range(3):
        assert sheet[..., channel].tolist() == expected


def test_coverage_is_drawn_where_it_is():
    examples = sort_of_clevr.load_arrays("test", 30)
    figure = plots.plot_coverage({"data": examples["image"]})
    samples, positions, differences, average = figure.axes
    found = coverage.find_centers(examples["image"])
    for points, color in zip(
        positions.collections, ("red", "blue"), strict=True
    ):
        np.testing.assert_array_equal(points.get_offsets(), found[color])
    np.testing.assert_array_equal(
        differences.collections[0].get_offsets(), found["red"] - found["blue"]
    )
    np.testing.assert_allclose(
        average.images[0].get_array(), examples["image"].mean(axis=0), atol=1
    )
    assert samples.images[0].get_array().shape == (5 * 66 - 2, 5 * 66 - 2, 3)


def test_detections_are_drawn_where_they_are():
    images = np.zeros((4, 64, 64, 1))
    true_boxes = np.tile([10.0, 20, 30, 45], (4, 1, 1))
    boxes = np.tile([[0.0, 0, 8, 16], [1, 2, 3, 4]], (4, 1, 1))
    scores = np.tile([0.9, 0.4], (4, 1))
    figure = plots.plot_detections(images, true_boxes, boxes, scores)
    for panel in figure.axes[:4]:
        # Of the two boxes one has a score that is high enough. The first pixel
        # begins half a pixel before 0.
        true, found = panel.patches
        assert true.get_bbox().bounds == (19.5, 9.5, 25, 20)
        assert found.get_bbox().bounds == (-0.5, -0.5, 16, 8)
        (score,) = panel.texts
        assert score.get_text() == "0.90"
    assert len(figure.axes) == 6
    assert not any(panel.patches for panel in figure.axes[4:])


def test_positions_that_are_found():
    def run(code, split, found, train=1.0):
        return {
            "code": code,
            "split": split,
            "train_accuracy": train,
            "test_accuracy": np.mean(found),
            "centers": np.array([[10, 20], [11, 20]]),
            "found": np.array(found),
        }

    runs = [
        run("none", "band", [False, False], train=0.5),
        run("coordinates", "uniform", [True, True]),
        run("coordinates", "band", [True, False]),
        run("coordinates", "band", [True, True]),
    ]
    panels = plots.plot_position_codes(runs).axes[:4]
    titles = [panel.get_title().splitlines() for panel in panels]
    assert titles[0] == ["uniform", "new pairs", "", "100 %"]
    assert titles[1] == ["band", "new columns", "", "75 % (50 to 100)"]
    assert titles[2:] == [["not run"], ["0 %", "train 50 %"]]
    image = panels[1].images[0].get_array()
    assert image.count() == 2
    assert (image[20, 10], image[20, 11]) == (1.0, 0.5)


def test_costs():
    rows = [
        {"mode": mode, "shape": shape, "model": model, "ratio": ratio}
        for mode, shape, model, ratio in (
            ("inference", "small", "conv", 1.0),
            ("inference", "small", "coordconv", 2.0),
            ("inference", "large", "coordconv", 8.0),
            ("inference", "large", "folded", 1.5),
            ("training", "small", "coordconv", 3.0),
        )
    ]
    inference, training = plots.plot_benchmark(rows).axes
    names = [label.get_text() for label in inference.get_yticklabels()]
    assert names == ["CoordConv", "CoordConv, folded"]
    assert [text.get_text() for text in inference.texts] == ["4.00", "1.50"]
    np.testing.assert_allclose(inference.lines[0].get_xdata(), [2, 8])
    assert [text.get_text() for text in training.texts] == ["3.00"]


def test_borders_of_tiles():
    labels = np.zeros((6, 8), int)
    maps = {"whole": labels, "tiles": labels}
    whole, tiles = plots.plot_classes(maps, ["none"], {"tiles": 3}).axes
    assert not whole.lines
    rows, *columns = (line.get_xydata() for line in tiles.lines)
    np.testing.assert_allclose(rows[:, 1], 2.5)
    np.testing.assert_allclose([line[0, 0] for line in columns], [2.5, 5.5])
