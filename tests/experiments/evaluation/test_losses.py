"""The losses against NumPy loops over images, boxes and true boxes."""

import keras
import numpy as np
import numpy_boxes
import pytest

from keras_coordconv.experiments.evaluation.losses import BoxLoss
from keras_coordconv.experiments.evaluation.losses import ScoreLoss
from keras_coordconv.experiments.evaluation.losses import match_boxes
from keras_coordconv.experiments.models import region_proposal


def match_one_image(true_boxes, boxes):
    """For each box: positive, negative, and the true box that matches best."""
    iou = np.array([[numpy_boxes.iou(b, t) for t in true_boxes] for b in boxes])
    closest = {}
    for truth in range(len(true_boxes)):
        box = int(iou[:, truth].argmax())
        if box not in closest or iou[box, truth] > iou[box, closest[box]]:
            closest[box] = truth
    positive = [b in closest or iou[b].max() > 0.5 for b in range(len(boxes))]
    negative = [
        b not in closest and iou[b].max() < 0.1 for b in range(len(boxes))
    ]
    matched = [closest.get(b, int(iou[b].argmax())) for b in range(len(boxes))]
    return np.array(positive), np.array(negative), np.array(matched)


def make_batch(images=4, boxes=50, objects=6):
    """True boxes padded after the first ones, and anchors with deltas."""
    random = np.random.default_rng(0)
    true = numpy_boxes.random_boxes(random, images, objects)
    counts = [objects - image for image in range(images)]
    for image, count in enumerate(counts):
        true[image, count:] = 0
    anchors = numpy_boxes.random_boxes(random, boxes)
    anchors[:objects] = true[0] + random.normal(size=(objects, 4))
    deltas = random.normal(0, 0.4, (images, boxes, 4)).astype("float32")
    logits = random.normal(size=(images, boxes, 2)).astype("float32")
    return true, counts, anchors, deltas, logits


def test_matches():
    true, counts, anchors, deltas, _ = make_batch()
    boxes = np.array([list(map(numpy_boxes.move, anchors, d)) for d in deltas])
    positive, negative, matched = map(
        keras.ops.convert_to_numpy, match_boxes(true, boxes.astype("float32"))
    )
    for image, count in enumerate(counts):
        right = match_one_image(true[image, :count], boxes[image])
        np.testing.assert_array_equal(positive[image], right[0])
        np.testing.assert_array_equal(negative[image], right[1])
        np.testing.assert_array_equal(
            matched[image][right[0]], true[image][right[2]][right[0]]
        )
        # There are boxes of all three kinds.
        assert (
            right[0].any() and right[1].any() and (~right[0] & ~right[1]).any()
        )


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize("size", [0, 4])
def test_a_truth_that_no_box_overlaps(objects, size):
    """It makes no box positive, whether it is padding or not."""
    true = np.zeros((1, objects, 4), "float32")
    true[:, 0] = [50, 50, 50 + size, 50 + size]
    true[:, 1:] = [[20, 20, 30, 30]]
    boxes = np.float32([[[0, 0, 9, 9], [9, 0, 18, 9], [20, 20, 30, 25]]])
    positive, negative, matched = map(
        keras.ops.convert_to_numpy, match_boxes(true, boxes)
    )
    overlaps = objects == 2  # The last box and the second truth, by half.
    assert positive.tolist() == [[False, False, overlaps]]
    assert negative.tolist() == [[True, True, not overlaps]]
    assert not overlaps or (matched[0, 2] == true[0, 1]).all()
    # Without a positive box, the losses are numbers.
    for loss in (
        BoxLoss(boxes[0], samples=3)(true, np.zeros((1, 3, 4), "float32")),
        ScoreLoss(samples=3)(true, np.zeros((1, 3, 6), "float32")),
    ):
        assert np.isfinite(float(loss))


def test_box_loss():
    true, counts, anchors, deltas, _ = make_batch()
    expected = []
    for image, count in enumerate(counts):
        boxes = list(map(numpy_boxes.move, anchors, deltas[image]))
        positive, _, matched = match_one_image(true[image, :count], boxes)
        losses = []
        for box in np.flatnonzero(positive):
            target = numpy_boxes.deltas_to(
                anchors[box], true[image][matched[box]]
            )
            errors = np.abs(deltas[image][box] - target)
            losses.append(sum(e if e > 1 else e * e for e in errors))
        expected.append(np.mean(losses))
    loss = BoxLoss(anchors, samples=50, reduction="none")
    np.testing.assert_allclose(loss(true, deltas), expected, rtol=1e-4)
    assert float(BoxLoss(anchors, samples=50)(true, deltas)) == pytest.approx(
        np.mean(expected), rel=1e-4
    )


def test_score_loss():
    true, counts, anchors, deltas, logits = make_batch()
    boxes = np.array([list(map(numpy_boxes.move, anchors, d)) for d in deltas])
    expected = []
    for image, count in enumerate(counts):
        positive, negative, _ = match_one_image(
            true[image, :count], boxes[image]
        )
        of_object, of_background = logits[image].T
        object_loss = np.log1p(np.exp(of_background - of_object))
        background_loss = np.log1p(np.exp(of_object - of_background))
        expected.append(
            np.mean([*object_loss[positive], *background_loss[negative]])
        )
    proposals = np.concatenate([boxes, logits], -1).astype("float32")
    loss = ScoreLoss(samples=50, reduction="none")
    np.testing.assert_allclose(loss(true, proposals), expected, rtol=1e-4)


def test_draws_some_of_the_candidates():
    """Up to 6 per image, all with the same probability."""
    candidates = np.zeros((3, 40), bool)
    candidates[0, 10:30] = candidates[1, 5:9] = True
    loss = ScoreLoss(seed=3)
    drawn = np.array(
        [keras.ops.convert_to_numpy(loss._draw(candidates)) for _ in range(500)]
    )
    assert not drawn[:, ~candidates].any()
    assert (drawn[:, 0].sum(axis=-1) == 6).all()
    # 6 of 20 are 0.3; four standard deviations for 500 draws.
    np.testing.assert_allclose(drawn[:, 0, 10:30].mean(axis=0), 0.3, atol=0.083)
    np.testing.assert_array_equal(drawn[:, 1], [candidates[1]] * 500)


def test_draws_come_from_the_seed():
    true, _, anchors, deltas, _ = make_batch(boxes=200)
    first, again, other = (
        [float(loss(true, deltas)) for _ in range(3)]
        for loss in (BoxLoss(anchors, seed=seed) for seed in (1, 1, 2))
    )
    assert first == again != other
    assert len(set(first)) == 3


@pytest.mark.parametrize("objects", [1, 12])
def test_any_number_of_objects(objects):
    true, _, anchors, deltas, _ = make_batch(objects=objects, images=1)
    assert float(BoxLoss(anchors, samples=50)(true, deltas)) > 0


def test_images_without_boxes():
    """All boxes are background; true boxes of zero area do not count."""
    true = np.zeros((2, 3, 4), "float32")
    true[1] = [10, 10, 10, 30]
    _, _, anchors, deltas, logits = make_batch(images=2)
    assert float(BoxLoss(anchors)(true, deltas)) == 0
    proposals = np.concatenate([np.stack([anchors] * 2), logits], axis=-1)
    expected = np.log1p(np.exp(logits[..., 0] - logits[..., 1])).mean(axis=1)
    loss = ScoreLoss(samples=50, reduction="none")
    np.testing.assert_allclose(loss(true, proposals), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        BoxLoss([[0, 0, 9, 9]], samples=3, seed=5),
        ScoreLoss(positive_iou=0.6, negative_iou=0.2, seed=1),
    ],
)
def test_config(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_fit():
    """Both losses with `compile` and `fit`, drawing from one generator."""
    random = np.random.default_rng(0)
    boxes = numpy_boxes.random_boxes(random, 6, 5)
    images = np.zeros((6, 64, 64, 1), "float32")
    for image, of_image in zip(images, boxes, strict=True):
        for top, left, bottom, right in of_image.clip(0, 64).astype(int):
            image[top:bottom, left:right] = 1
    model = region_proposal.region_proposal_model()
    model.sampler = keras.random.SeedGenerator(0)
    assert model.non_trainable_variables == [model.sampler.state]
    losses = {
        "deltas": BoxLoss(region_proposal.anchor_boxes(), seed=model.sampler),
        "proposals": ScoreLoss(seed=model.sampler),
    }
    model.compile(keras.optimizers.Adam(0.003), losses)
    history = model.fit(
        images,
        {"deltas": boxes, "proposals": boxes},
        batch_size=4,  # The second batch has 2 images.
        epochs=25,
        verbose=0,
    ).history
    assert (
        np.mean(history["proposals_loss"][-3:])
        < 0.5 * history["proposals_loss"][0]
    )
    # 25 epochs of 2 batches, with 3 draws per batch.
    assert int(model.sampler.state[1]) == 150
