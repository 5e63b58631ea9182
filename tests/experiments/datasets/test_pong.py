"""Screens of a fake game, whose objects are where the labels are."""

import sys

import fake_ale
import numpy as np
import pytest

from keras_coordconv.experiments.datasets import pong

pytestmark = pytest.mark.tensorflow_backend


@pytest.fixture(autouse=True)
def ale(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", fake_ale)


@pytest.mark.parametrize("subset", ["train", "test"])
def test_labels_are_the_centers_of_the_objects(subset):
    data = pong.load_screens(subset, 40)
    assert data["image"].shape == (40, 80, 80, 1)
    assert data["points"].shape == (40, 3, 2)
    centers = np.arange(80) + 0.5
    checked = 0
    images = data["image"][..., 0]
    for image, points in zip(images, data["points"], strict=True):
        if np.diff(np.sort(points[:, 1])).min() < 8 / 80:
            continue  # The ball is next to a player.
        checked += 1
        # The mean over blocks of pixels does not move the center of mass. In
        # memory, the numbers of players are up to half a pixel off.
        for point, near in zip(80 * points, (1e-4, 0.26, 0.26), strict=True):
            rows = abs(centers - point[0]) < 6
            columns = abs(centers - point[1]) < 3
            mass = image * rows[:, None] * columns
            found = (mass.sum(1) @ centers, mass.sum(0) @ centers) / mass.sum()
            np.testing.assert_allclose(found, point, atol=near)
    assert checked > 20


def test_subsets_are_of_different_games():
    train, test = (
        pong.load_screens(subset, 20)["points"] for subset in ("train", "test")
    )
    assert not np.array_equal(train, test)
    np.testing.assert_array_equal(
        train, pong.load_screens("train", 20)["points"]
    )


def test_a_quadrant_is_held_out():
    train = pong.load_screens("train", 60)["points"][:, 0]
    quadrant = pong.load_screens("quadrant", 60)["points"][:, 0]
    assert quadrant.min() > 0.5
    assert train.min(axis=1).max() <= 0.51
    assert train.max() > 0.9


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(ValueError, match=r"pip install .*\[atari\]"):
        pong.load_screens("train", 1)
