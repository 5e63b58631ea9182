import keras
import numpy as np
import pytest

from keras_coordconv.experiments.evaluation.metrics import MeanImageIoU
from keras_coordconv.experiments.evaluation.metrics import MeanPixelDistance


def update(metric, true, predicted, pieces=1, sample_weight=None):
    for true_piece, predicted_piece in zip(
        np.array_split(true, pieces),
        np.array_split(predicted, pieces),
        strict=True,
    ):
        metric.update_state(true_piece, predicted_piece, sample_weight)
    return float(metric.result())


@pytest.mark.parametrize("pieces", [1, 3])
def test_distance_in_numpy(pieces):
    random = np.random.default_rng(0)
    true, predicted = random.uniform(size=(2, 7, 2)).astype("float32")
    expected = 64 * np.mean(np.hypot(*(true - predicted).T))
    metric = MeanPixelDistance(64)
    assert update(metric, true, predicted, pieces) == pytest.approx(
        expected, rel=1e-5
    )


def test_distance_by_hand():
    true = np.array([[0.5, 0.25], [0.0, 0.0]])
    predicted = true + np.array([[3, 4], [0, 1]]) / 32
    assert update(MeanPixelDistance(32), true, predicted) == pytest.approx(3)
    weighted = MeanPixelDistance(32)
    weighted.update_state(true, predicted, sample_weight=[3, 1])
    assert float(weighted.result()) == pytest.approx(4)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_iou_in_numpy(pieces):
    random = np.random.default_rng(1)
    true = (random.uniform(size=(5, 6, 7, 1)) > 0.6).astype("float32")
    logits = random.normal(size=true.shape).astype("float32")
    expected = np.mean(
        [
            np.logical_and(t, p > 0).sum() / np.logical_or(t, p > 0).sum()
            for t, p in zip(true, logits, strict=True)
        ]
    )
    metric = MeanImageIoU()
    assert update(metric, true, logits, pieces) == pytest.approx(expected)


def test_iou_by_hand():
    # 1 of 3 painted pixels; nothing on either side; something on one side.
    true = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0]])
    predicted = np.array([[0.9, 0.1, 0.9], [0.1, 0.5, 0.2], [0.6, 0, 0]])
    metric = MeanImageIoU(threshold=0.5)
    assert update(metric, true, predicted) == pytest.approx((1 / 3 + 1 + 0) / 3)


@pytest.mark.parametrize(
    "metric", [MeanPixelDistance(32), MeanImageIoU(threshold=0.5)]
)
def test_config(metric):
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    assert type(again) is type(metric)
