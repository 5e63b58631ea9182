import keras
import numpy as np
import numpy_boxes
import pytest

from keras_coordconv.experiments.models import region_proposal

CENTERS = np.arange(8, 57, 4)
SIDES = [
    (15, 15),
    (20, 20),
    (25, 25),
    (15, 20),
    (20, 25),
    (20, 15),
    (25, 20),
    (15, 25),
    (25, 15),
]


def predict(model, images):
    return {
        name: keras.ops.convert_to_numpy(x)
        for name, x in model.predict_on_batch(images).items()
    }


def test_anchors_by_hand():
    anchors = region_proposal.anchor_boxes()
    assert anchors.shape == (13 * 13 * 9, 4)
    # Row 2, column 5, the fourth of the nine: 15 high and 20 wide.
    np.testing.assert_array_equal(
        anchors[(2 * 13 + 5) * 9 + 3],
        [16 - 7.5, 28 - 10, 16 + 7.5, 28 + 10],
    )
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    np.testing.assert_array_equal(np.unique(centers), CENTERS)
    sides = (anchors[:, 2:] - anchors[:, :2]).reshape(169, 9, 2)
    np.testing.assert_array_equal(sides, np.tile(SIDES, (169, 1, 1)))


def test_anchors_of_the_authors_code():
    """9 rows, columns, heights and widths each, read four at a time."""
    anchors = region_proposal.anchor_boxes("scrambled")
    numbers = (
        [16] * 9 + [28] * 9 + [h for h, _ in SIDES] + [w for _, w in SIDES]
    )
    expected = [
        (y - h / 2, x - w / 2, y + h / 2, x + w / 2)
        for y, x, h, w in np.reshape(numbers, (9, 4))
    ]
    first = (2 * 13 + 5) * 9
    np.testing.assert_array_equal(anchors[first : first + 9], expected)


@pytest.mark.parametrize(
    ("coordinates", "parameters"),
    [
        ((), 81_590),
        (region_proposal.PAPER_SITES, 83_838),
        (("image",), 81_590 + 25 * 2 * 32),
        (("features",), 81_590 + 9 * 2 * 32),
        (("boxes",), 81_590 + 2 * 36),
        (("scores",), 81_590 + 2 * 18),
    ],
)
def test_parameters(coordinates, parameters):
    model = region_proposal.region_proposal_model(coordinates)
    assert model.count_params() == parameters


def test_an_untrained_model_proposes_the_anchors():
    model = region_proposal.region_proposal_model()
    images = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
    found = predict(model, images)
    assert found["deltas"].shape == (2, 1521, 4)
    assert found["proposals"].shape == (2, 1521, 6)
    assert not found["deltas"].any()
    anchors = region_proposal.anchor_boxes()
    for boxes in found["proposals"][..., :4]:
        np.testing.assert_allclose(boxes, anchors, atol=1e-4)


def test_deltas_belong_to_their_positions():
    """The outputs at a position move the anchors of that position."""
    model = region_proposal.region_proposal_model(("boxes",))
    layer = model.get_layer("boxes")
    kernel = np.zeros(layer.kernel.shape, "float32")
    # All outputs are coordinates: -1 at the first, 1 at the last position.
    kernel[..., -2, 0::4] = kernel[..., -1, 1::4] = 1
    layer.kernel.assign(kernel)
    layer.bias.assign(np.tile([0, 0, 0.5, -0.5], 9))
    found = predict(model, np.zeros((1, 64, 64, 1), "float32"))
    positions = np.linspace(-1, 1, 13)
    deltas = [
        (row, column, 0.5, -0.5)
        for row in positions
        for column in positions
        for _ in range(9)
    ]
    np.testing.assert_allclose(found["deltas"][0], deltas, atol=1e-5)
    moved = map(numpy_boxes.move, region_proposal.anchor_boxes(), deltas)
    np.testing.assert_allclose(
        found["proposals"][0, :, :4], list(moved), atol=1e-3
    )


def test_coordinates_only_in_the_chosen_layers():
    """Without coordinates a pattern gets the same outputs at any position."""
    images = np.zeros((2, 64, 64, 1), "float32")
    blot = np.random.default_rng(0).random((8, 8, 1))
    images[0, 24:32, 24:32] = images[1, 28:36, 32:40] = blot
    for coordinates in (
        (),
        *((site,) for site in region_proposal.COORDCONV_SITES),
    ):
        model = region_proposal.region_proposal_model(coordinates)
        model.get_layer("boxes").kernel.assign(
            np.random.default_rng(1).normal(
                size=model.get_layer("boxes").kernel.shape
            )
        )
        found = predict(model, images)
        numbers = np.concatenate(
            [found["deltas"], found["proposals"][..., 4:]], -1
        )
        maps = numbers.reshape(2, 13, 13, -1)
        # One position down and two to the right: 4 and 8 pixels.
        same = np.abs(maps[0, 3:9, 3:8] - maps[1, 4:10, 5:10]).max() < 1e-4
        assert same == (coordinates == ())


def suppress(boxes, scores, iou_threshold, max_boxes):
    """Non-maximum suppression of one image, one box at a time."""
    boxes = np.clip(boxes, 0, 64)
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        overlaps = [numpy_boxes.iou(boxes[index], boxes[k]) for k in kept]
        if (
            len(kept) < max_boxes
            and numpy_boxes.area(boxes[index]) > 0
            and all(overlap <= iou_threshold for overlap in overlaps)
        ):
            kept.append(index)
    return boxes[kept], scores[kept]


@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.8])
def test_best_boxes_in_numpy(iou_threshold):
    random = np.random.default_rng(0)
    boxes = numpy_boxes.random_boxes(random, 3, 40)
    boxes[0, 5:9] += 200  # Outside the image.
    boxes[1, 10:30] = boxes[1, :20] + random.normal(size=(20, 4))
    logits = random.normal(size=(3, 40, 2)).astype("float32")
    layer = region_proposal.KeepBestBoxes(iou_threshold, max_boxes=30)
    found = layer(np.concatenate([boxes, logits], axis=-1))
    found = keras.tree.map_structure(keras.ops.convert_to_numpy, found)
    assert found["boxes"].shape == (3, 30, 4)
    for image in range(3):
        scores = 1 / (1 + np.exp(logits[image, :, 1] - logits[image, :, 0]))
        right_boxes, right_scores = suppress(
            boxes[image], scores, iou_threshold, 30
        )
        count = len(right_boxes)
        assert 0 < count <= 30
        np.testing.assert_allclose(
            found["boxes"][image, :count], right_boxes, atol=1e-4
        )
        np.testing.assert_allclose(
            found["scores"][image, :count], right_scores, atol=1e-5
        )
        assert not found["boxes"][image, count:].any()
        assert not found["scores"][image, count:].any()


@pytest.mark.tensorflow_backend
def test_best_boxes_of_tensorflow():
    import tensorflow as tf

    model = region_proposal.region_proposal_model()
    images = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
    proposals = predict(model, images)["proposals"]
    found = predict(region_proposal.detector(model, 0.6), images)
    for image in range(2):
        boxes = tf.clip_by_value(proposals[image, :, :4], 0, 64)
        scores = tf.nn.softmax(proposals[image, :, 4:])[:, 0]
        kept = tf.image.non_max_suppression(boxes, scores, 10, 0.6)
        np.testing.assert_allclose(
            found["boxes"][image], tf.gather(boxes, kept), atol=1e-4
        )
        np.testing.assert_allclose(
            found["scores"][image], tf.gather(scores, kept), atol=1e-5
        )


def test_saved_and_loaded(tmp_path):
    detector = region_proposal.detector(
        region_proposal.region_proposal_model(
            anchors=region_proposal.anchor_boxes("scrambled")
        ),
        max_boxes=3,
    )
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    images = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
    expected, found = predict(detector, images), predict(loaded, images)
    assert set(found) == {"boxes", "scores"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_mixed_precision():
    """Boxes and scores are in float32."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = region_proposal.region_proposal_model()
    assert model.get_layer("conv2").compute_dtype == "bfloat16"
    images = np.zeros((1, 64, 64, 1), "float32")
    for outputs in (
        predict(model, images),
        predict(region_proposal.detector(model, max_boxes=3), images),
    ):
        assert {x.dtype.name for x in outputs.values()} == {"float32"}


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be among image, features"):
        region_proposal.region_proposal_model(("input",))
    with pytest.raises(ValueError, match="must be one of grid, scrambled"):
        region_proposal.anchor_boxes("square")
    model = region_proposal.region_proposal_model()
    with pytest.raises(ValueError, match=r"\(None, 64, 64, 1\)"):
        model(np.zeros((1, 48, 64, 1), "float32"))
