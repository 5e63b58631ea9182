"""TensorFlow Datasets builder of Not-so-Clevr."""

import numpy as np
import tensorflow_datasets as tfds

from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import not_so_clevr


class NotSoClevr(tfds.core.GeneratorBasedBuilder):
    """TensorFlow Datasets builder of Not-so-Clevr.

    >>> from keras_coordconv.experiments.datasets import not_so_clevr_builder
    >>> tfds.load("not_so_clevr/quadrant", split="train")
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        tfds.core.BuilderConfig(
            name="uniform",
            description="Test centers drawn at random from the whole canvas.",
        ),
        tfds.core.BuilderConfig(
            name="quadrant",
            description="Test centers in the lower right quadrant.",
        ),
        tfds.core.BuilderConfig(
            name="band",
            description="Test centers in the columns from 45 on.",
        ),
        tfds.core.BuilderConfig(
            name="border",
            description="Test centers in the outer four columns and rows.",
        ),
        tfds.core.BuilderConfig(
            name="middle",
            description="Test centers in a square in the middle of the canvas.",
        ),
    ]

    def _info(self):
        image = tfds.features.Image(shape=(CANVAS_SIZE, CANVAS_SIZE, 1))
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "A white 9x9 square at every position of a 64x64 canvas. "
                "`location` is the (x, y) of its center in pixels, x being the "
                "column; `normalized_location` is the location divided by 64; "
                "`center` is an image of the center pixel; `image` is an image "
                "of the square. White pixels are 255."
            ),
            homepage="https://arxiv.org/abs/1807.03247",
            citation=not_so_clevr.CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "location": tfds.features.Tensor(
                        shape=(2,), dtype=np.float32
                    ),
                    "normalized_location": tfds.features.Tensor(
                        shape=(2,), dtype=np.float32
                    ),
                    "center": image,
                    "image": image,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # The data are generated; nothing is downloaded.
        return {
            subset: self._generate_examples(subset)
            for subset in not_so_clevr.SUBSETS
        }

    def _generate_examples(self, subset):
        centers = not_so_clevr.subset_locations(
            self.builder_config.name, subset
        )
        for center in centers:
            x, y = center.tolist()
            yield (
                f"{x},{y}",
                {
                    "location": center.astype("float32"),
                    "normalized_location": np.float32(center / CANVAS_SIZE),
                    "center": _as_uint8(
                        not_so_clevr.draw_centers(center[None])[0]
                    ),
                    "image": _as_uint8(
                        not_so_clevr.draw_squares(center[None])[0]
                    ),
                },
            )


def _as_uint8(image):
    return (255 * image).astype("uint8")
