"""TensorFlow Datasets builder of Sort-of-Clevr with two objects."""

import numpy as np
import tensorflow_datasets as tfds

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import sort_of_clevr


class SortOfClevr(tfds.core.GeneratorBasedBuilder):
    """TensorFlow Datasets builder of Sort-of-Clevr with two objects.

    >>> from keras_coordconv.experiments.datasets import sort_of_clevr_builder
    >>> tfds.load("sort_of_clevr", split="train")
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self):
        center = tfds.features.Tensor(shape=(2,), dtype=np.int32)
        shape = tfds.features.ClassLabel(names=list(sort_of_clevr.SHAPES))
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "A red and a blue object on a white 64x64 canvas. Each is a "
                "square of 21x21 pixels or a circle of the same diameter; "
                "their centers are at least 20 pixels apart. `red_center` and "
                "`blue_center` are the (x, y) of the centers in pixels, x "
                "being the column."
            ),
            homepage="https://arxiv.org/abs/1807.03247",
            citation=not_so_clevr.CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(CANVAS_SIZE, CANVAS_SIZE, 3)
                    ),
                    "red_center": center,
                    "blue_center": center,
                    "red_shape": shape,
                    "blue_shape": shape,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The data are generated; nothing is downloaded.
        return {
            subset: self._generate_examples(subset)
            for subset in sort_of_clevr.EXAMPLES
        }

    def _generate_examples(self, subset):
        examples = sort_of_clevr.load_arrays(subset)
        for number, values in enumerate(zip(*examples.values(), strict=True)):
            yield number, dict(zip(examples, values, strict=True))
