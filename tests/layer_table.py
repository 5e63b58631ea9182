"""One list of layers, for the checks that are done on all of them.

A new layer adds a row.
"""

import pytest

# Name, arguments, input shape without batch.
LAYERS = [
    ("CoordinateChannel1D", {}, (6, 2)),
    ("CoordinateChannel2D", {"use_radius": True}, (5, 6, 2)),
    ("CoordinateChannel3D", {"coordinate_range": "pixel"}, (3, 4, 5, 2)),
    (
        "CoordConv1D",
        {"filters": 3, "kernel_size": (3,), "padding": "causal"},
        (6, 2),
    ),
    (
        "CoordConv1D",
        {"filters": 3, "kernel_size": (2,), "strides": (2,)},
        (6, 2),
    ),
    ("CoordConv2D", {"filters": 3, "kernel_size": (1, 1)}, (5, 6, 2)),
    # Twice as many channels out as in: the coordinates are appended.
    ("CoordConv2D", {"filters": 4, "kernel_size": (1, 1)}, (5, 6, 2)),
    (
        "CoordConv2D",
        {
            "filters": 3,
            "kernel_size": (3, 3),
            "strides": (2, 2),
            "padding": "same",
            "use_radius": True,
            "coordinate_range": (0, 1),
            "activation": "relu",
        },
        (5, 6, 2),
    ),
    (
        "CoordConv2D",
        {
            "filters": 3,
            "kernel_size": (3, 3),
            "coordinate_range": ((1.0, -1.0), (0.0, 5.0)),
        },
        (5, 6, 2),
    ),
    ("CoordConv3D", {"filters": 3, "kernel_size": (2, 2, 2)}, (3, 4, 5, 2)),
    (
        "CoordConv1DTranspose",
        {"filters": 3, "kernel_size": (3,), "strides": (2,), "padding": "same"},
        (6, 2),
    ),
    ("CoordConv2DTranspose", {"filters": 3, "kernel_size": (2, 2)}, (5, 6, 2)),
    (
        "CoordConv2DTranspose",
        {
            "filters": 3,
            "kernel_size": (3, 3),
            "strides": (2, 2),
            "use_radius": True,
        },
        (5, 6, 2),
    ),
    (
        "CoordConv3DTranspose",
        {"filters": 3, "kernel_size": (2, 2, 2)},
        (3, 4, 5, 2),
    ),
    ("CoordDepthwiseConv1D", {"kernel_size": (3,), "strides": (2,)}, (6, 2)),
    (
        "CoordDepthwiseConv2D",
        {"kernel_size": (3, 3), "depth_multiplier": 2, "use_radius": True},
        (5, 6, 2),
    ),
    ("CoordSeparableConv1D", {"filters": 3, "kernel_size": (3,)}, (6, 2)),
    (
        "CoordSeparableConv2D",
        {"filters": 3, "kernel_size": (3, 3), "padding": "same"},
        (5, 6, 2),
    ),
]

every_layer = pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    LAYERS,
    ids=[f"{kind}-{index}" for index, (kind, _, _) in enumerate(LAYERS)],
)
