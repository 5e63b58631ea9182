"""The metrics by hand, against NumPy loops, and against pycocotools."""

import contextlib
import io

import numpy as np
import numpy_boxes
import pytest

from keras_coordconv.experiments.evaluation import detection


def make_boxes(seed=0, images=40, boxes=8, objects=5):
    """Boxes near the true ones, some of them twice; not all images are full."""
    random = np.random.default_rng(seed)
    true = numpy_boxes.random_boxes(random, images, objects)
    true[::3, 3:] = 0
    which = random.integers(0, objects, (images, boxes))
    found = np.take_along_axis(true, which[..., None], axis=1)
    found = found + random.normal(0, 2, found.shape).astype("float32")
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2] + 1)
    found[::4] = numpy_boxes.random_boxes(random, *found[::4].shape[:2])
    scores = random.uniform(0.1, 1, (images, boxes)).astype("float32")
    scores[::5, 6:] = found[::5, 6:] = 0
    scores[7] = found[7] = 0
    true[11] = 0
    return found, scores, true


def test_mean_ious_in_numpy():
    found, scores, true = make_boxes()
    pairs, best = [], []
    for boxes, of_boxes, true_boxes in zip(found, scores, true, strict=True):
        matrix = [
            [numpy_boxes.iou(box, truth) for truth in true_boxes if truth.any()]
            for box in boxes[of_boxes > 0]
        ]
        has_pairs = matrix and matrix[0]
        pairs.append(np.mean(matrix) if has_pairs else 0)
        best.append(np.mean(np.max(matrix, axis=1)) if has_pairs else 0)
    result = detection.mean_ious(found, scores, true)
    assert result["iou"] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert result["best_iou"] == pytest.approx(np.mean(best), rel=1e-5)


def test_perfect_boxes_by_hand():
    # Two true boxes with an IOU of one third.
    true = np.array([[[0, 0, 10, 10], [0, 5, 10, 15]]], "float32")
    result = detection.mean_ious(true, np.ones((1, 2)), true)
    assert result["iou"] == pytest.approx((1 + 1 + 2 / 3) / 4)
    assert result["best_iou"] == pytest.approx(1)
    precision = detection.average_precision(true, np.ones((1, 2)), true)
    assert precision == {"ap50": 1, "ap": 1}


def test_average_precision_by_hand():
    """Right, wrong, right: precision 1 up to recall 1/2, then 2/3."""
    true = np.array([[[0, 0, 10, 10], [0, 40, 10, 50]]], "float32")
    found = true[:, [0, 0, 1]]
    scores = np.array([[0.9, 0.8, 0.7]])
    expected = (51 * 1 + 50 * 2 / 3) / 101
    for order in ([0, 1, 2], [2, 0, 1]):
        assert detection.average_precision(
            found[:, order], scores[:, order], true
        ) == pytest.approx({"ap50": expected, "ap": expected})


def coco_result(found, scores, true):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def rows(boxes, keep, extra):
        for image, box in np.argwhere(keep):
            top, left, bottom, right = boxes[image, box].astype(float)
            height, width = bottom - top, right - left
            yield {
                "image_id": int(image),
                "category_id": 1,
                "bbox": [left, top, width, height],
                **extra(image, box, height * width),
            }

    def of_truth(image, box, area):
        return {"id": int(100 * image + box + 1), "area": area, "iscrowd": 0}

    def of_box(image, box, area):
        return {"score": float(scores[image, box])}

    with contextlib.redirect_stdout(io.StringIO()):
        true_boxes = coco.COCO()
        true_boxes.dataset = {
            "images": [{"id": image} for image in range(len(true))],
            "categories": [{"id": 1}],
            "annotations": list(rows(true, true.any(axis=-1), of_truth)),
        }
        true_boxes.createIndex()
        boxes = true_boxes.loadRes(list(rows(found, scores > 0, of_box)))
        evaluation = COCOeval(true_boxes, boxes, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"ap": evaluation.stats[0], "ap50": evaluation.stats[1]}


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_of_pycocotools(seed):
    batch = make_boxes(seed, boxes=8 + seed)
    expected = coco_result(*batch)
    assert 0.05 < expected["ap"] < expected["ap50"] < 0.95
    assert detection.average_precision(*batch) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("boxes", [99, 100, 101, 150])
def test_coco_scores_100_boxes_per_image(boxes):
    batch = make_boxes(images=12, boxes=boxes, objects=40)
    expected = coco_result(*batch)
    assert detection.average_precision(*batch) == pytest.approx(
        expected, abs=1e-6
    )


def test_nothing_found():
    _, _, true = make_boxes()
    none = np.zeros((len(true), 4, 4), "float32"), np.zeros((len(true), 4))
    assert detection.mean_ious(*none, true) == {"iou": 0, "best_iou": 0}
    result = detection.average_precision(*none, true)
    assert result == {"ap50": 0, "ap": 0}


def test_nothing_to_find():
    found, scores, true = make_boxes()
    with pytest.raises(ValueError, match="at least one true box"):
        detection.average_precision(found, scores, 0 * true)
