"""CoordConv for Keras 3: convolutions that see their own coordinates.

Liu et al., "An intriguing failing of convolutional neural networks and the
CoordConv solution", NeurIPS 2018, https://arxiv.org/abs/1807.03247.
"""

from keras_coordconv import _backend  # noqa: F401, first of all
from keras_coordconv import frames
from keras_coordconv.conversion import convert_to_coordconv
from keras_coordconv.conversion import fold_coordinates
from keras_coordconv.conversion import follow_affine
from keras_coordconv.conversion import load_coordconv_kernel
from keras_coordconv.conversion import remove_coordinates
from keras_coordconv.coordinates import coordinate_grid
from keras_coordconv.encodings import FourierFeatures
from keras_coordconv.encodings import GaussianFourierFeatures
from keras_coordconv.encodings import Periodic
from keras_coordconv.layers import CoordConv1D
from keras_coordconv.layers import CoordConv1DTranspose
from keras_coordconv.layers import CoordConv2D
from keras_coordconv.layers import CoordConv2DTranspose
from keras_coordconv.layers import CoordConv3D
from keras_coordconv.layers import CoordConv3DTranspose
from keras_coordconv.layers import CoordDepthwiseConv1D
from keras_coordconv.layers import CoordDepthwiseConv2D
from keras_coordconv.layers import CoordinateChannel1D
from keras_coordconv.layers import CoordinateChannel2D
from keras_coordconv.layers import CoordinateChannel3D
from keras_coordconv.layers import CoordSeparableConv1D
from keras_coordconv.layers import CoordSeparableConv2D
from keras_coordconv.layers import SoftArgmax1D
from keras_coordconv.layers import SoftArgmax2D
from keras_coordconv.layers import SoftArgmax3D
from keras_coordconv.preprocessing import CoordAugmentation
from keras_coordconv.report import coordinate_report
from keras_coordconv.tiles import predict_in_tiles
from keras_coordconv.tiles import receptive_field

__version__ = "0.2.0"

__all__ = [
    "CoordAugmentation",
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
    "FourierFeatures",
    "GaussianFourierFeatures",
    "Periodic",
    "SoftArgmax1D",
    "SoftArgmax2D",
    "SoftArgmax3D",
    "convert_to_coordconv",
    "coordinate_grid",
    "coordinate_report",
    "fold_coordinates",
    "follow_affine",
    "frames",
    "load_coordconv_kernel",
    "predict_in_tiles",
    "receptive_field",
    "remove_coordinates",
]
