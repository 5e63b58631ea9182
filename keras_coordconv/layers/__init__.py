"""The layers, one family a file."""

from keras_coordconv.layers.coord_conv import CoordConv1D
from keras_coordconv.layers.coord_conv import CoordConv2D
from keras_coordconv.layers.coord_conv import CoordConv3D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel1D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel2D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel3D

__all__ = [
    "CoordConv1D",
    "CoordConv2D",
    "CoordConv3D",
    "CoordinateChannel1D",
    "CoordinateChannel2D",
    "CoordinateChannel3D",
]
