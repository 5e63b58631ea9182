"""The layers, one family per file."""

from keras_coordconv.layers.coord_conv import CoordConv1D
from keras_coordconv.layers.coord_conv import CoordConv2D
from keras_coordconv.layers.coord_conv import CoordConv3D
from keras_coordconv.layers.coord_conv_transpose import CoordConv1DTranspose
from keras_coordconv.layers.coord_conv_transpose import CoordConv2DTranspose
from keras_coordconv.layers.coord_conv_transpose import CoordConv3DTranspose
from keras_coordconv.layers.coord_depthwise_conv import CoordDepthwiseConv1D
from keras_coordconv.layers.coord_depthwise_conv import CoordDepthwiseConv2D
from keras_coordconv.layers.coord_separable_conv import CoordSeparableConv1D
from keras_coordconv.layers.coord_separable_conv import CoordSeparableConv2D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel1D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel2D
from keras_coordconv.layers.coordinate_channel import CoordinateChannel3D
from keras_coordconv.layers.soft_argmax import SoftArgmax1D
from keras_coordconv.layers.soft_argmax import SoftArgmax2D
from keras_coordconv.layers.soft_argmax import SoftArgmax3D

__all__ = [
    "CoordConv1D",
    "CoordConv1DTranspose",
    "CoordConv2D",
    "CoordConv2DTranspose",
    "CoordConv3D",
    "CoordConv3DTranspose",
    "CoordDepthwiseConv1D",
    "CoordDepthwiseConv2D",
    "CoordSeparableConv1D",
    "CoordSeparableConv2D",
    "CoordinateChannel1D",
    "CoordinateChannel2D",
    "CoordinateChannel3D",
    "SoftArgmax1D",
    "SoftArgmax2D",
    "SoftArgmax3D",
]
