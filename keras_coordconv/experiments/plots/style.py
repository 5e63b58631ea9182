"""The style of all figures: colors, and the words for layers.

The colors are those of Okabe and Ito, which color-blind people can tell apart
(https://jfly.uni-koeln.de/color/).
"""

import matplotlib as mpl
from cycler import cycler

BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
YELLOW, SKY, PURPLE, ORANGE = "#f0e442", "#56b4e9", "#cc79a7", "#e69f00"
GRAY = "#888888"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW)
# In every figure, CoordConv is blue and a convolution vermilion.
OF_LAYER = {
    "coordconv": BLUE,
    "folded": BLUE,
    "conv": VERMILION,
    "dense": GRAY,
}
NAMES = {
    "coordconv": "CoordConv",
    "conv": "convolution",
    "dense": "dense",
    "pooling": "global pooling",
    "soft_argmax": "soft-argmax",
    "coordconv_soft_argmax": "CoordConv, soft-argmax",
    "conv_valid": "convolution without padding",
    "conv_same": "convolution with zero padding",
    "coordconv_same": "CoordConv",
    "coordconv_valid": "CoordConv without padding",
    "folded": "CoordConv, folded",
    "concatenation": "coordinates appended",
    "matmul": "appended, from a matrix product",
    "repeat": "appended, repeated over the batch",
}

mpl.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.titlesize": "medium",
        "legend.frameon": False,
    }
)


def name_of(layer):
    """Returns the words for a layer, or the string itself."""
    return NAMES.get(layer, layer)
