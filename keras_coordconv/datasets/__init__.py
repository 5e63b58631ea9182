"""The data sets, one a file. Importing this registers them with TFDS."""

from keras_coordconv.datasets import not_so_clevr

__all__ = ["not_so_clevr"]
