"""Predicts the climate of the whole Earth with the served networks."""

import numpy as np

from keras_coordconv.experiments.datasets import koppen
from keras_coordconv.experiments.demo import drawing
from keras_coordconv.experiments.plots import globe

MODEL = "climate"
NETWORKS = {"Convolution": "none", "CoordConv": "world"}
# Pixels around the map that the networks of examples/climate.py need.
MARGIN = 3
SCALE = 3


class Earth:
    """The measured climate, and the one that each network predicts.

    Args:
        models: `SavedModels` or `ServingClient`.

    Raises:
        ValueError: if a package with the data is not installed.
    """

    def __init__(self, models):
        maps = koppen.load_maps()
        self._truth = maps["climate"]
        self._is_test = koppen.held_out("blocks")
        inputs, _, _ = koppen.whole(maps, self._is_test, MARGIN)
        answer = models.predict(MODEL, inputs, "tensor")
        self._probabilities = {
            name: answer[f"{key}_probabilities"][0]
            for name, key in NETWORKS.items()
        }
        found = [p.argmax(axis=-1) for p in self._probabilities.values()]
        self._pictures = [self._draw(one) for one in (self._truth, *found)]
        areas = self._is_test * koppen.land_areas(self._truth)
        shares = (np.average(x == self._truth, weights=areas) for x in found)
        shares = ", ".join(
            f"{name} {100 * share:.0f} %"
            for name, share in zip(NETWORKS, shares, strict=True)
        )
        self._accuracies = f"Right on the outlined land, by area: {shares}"

    def _draw(self, found):
        picture = drawing.enlarge(
            globe.paint(found, self._truth, self._is_test), SCALE
        )
        is_land = self._truth != koppen.OCEAN
        is_outlined = is_land & self._is_test
        for mask, color in (
            (is_land, drawing.GRAY),
            (is_outlined, drawing.BLACK),
        ):
            large = mask.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
            picture[drawing.edges(large)] = color
        return picture

    def pictures(self, x, y):
        """Return the maps of the truth and of each network with a cross."""
        return [
            drawing.cross(picture.copy(), x, y, drawing.BLACK, SCALE, 18)
            for picture in self._pictures
        ]

    def describe(self, x, y):
        """Return the place, its climate and the predictions, as Markdown."""
        latitudes, longitudes = koppen.centers()
        latitude, longitude = latitudes[y], longitudes[x]
        place = (
            f"{abs(latitude):g}° {'N' if latitude > 0 else 'S'}, "
            f"{abs(longitude):g}° {'E' if longitude > 0 else 'W'}"
        )
        truth = self._truth[y, x]
        if truth == koppen.OCEAN:
            return f"{place} is in the ocean. Click a place on land."
        kind = "outlined" if self._is_test[y, x] else "training"
        lines = [
            f"{place} ({kind} land) is **{koppen.CLASSES[truth]}**.",
            *(
                f"{name}: {_words(probabilities[y, x])}"
                for name, probabilities in self._probabilities.items()
            ),
            self._accuracies,
        ]
        return "  \n".join(lines)


def _words(probabilities):
    first, *others = (
        f"{koppen.CLASSES[index]} {100 * probabilities[index]:.0f} %"
        for index in np.argsort(-probabilities)
        if probabilities[index] >= 0.005
    )
    return ", ".join([f"**{first}**", *others])
