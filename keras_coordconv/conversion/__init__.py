"""Converts existing models, and loads kernels of other implementations."""

from keras_coordconv.conversion.convert import convert_to_coordconv
from keras_coordconv.conversion.convert import fold_coordinates
from keras_coordconv.conversion.follow import follow_affine
from keras_coordconv.conversion.kernels import load_coordconv_kernel
from keras_coordconv.conversion.remove import remove_coordinates

__all__ = [
    "convert_to_coordconv",
    "fold_coordinates",
    "follow_affine",
    "load_coordconv_kernel",
    "remove_coordinates",
]
