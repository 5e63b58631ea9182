"""What lets CoordConv extrapolate: the units, and the size of the weights.

    python examples/sweep.py coordinate_classification --grid units \\
        --seeds 0 1 2 3 4
    python examples/plot_units.py runs/sweep/coordinate_classification/*units*/

draws the accuracy in the quarter of the canvas that was held out, over the
scale of the first layer's initial kernel; and of each filter of the trained
first layer its weight on x against its weight on the column, for one pixel of
each, as parts of a vector of length 1 of all four weights. The solution,
x - column, has them opposite.
"""

import startup  # noqa: F401, before the rest

import numpy as np

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history
from keras_coordconv.experiments.training import run_files

# How much each unit is in pixels, for (x, y) and for the coordinates.
PER_PIXEL = 2 / (CANVAS_SIZE - 1)
UNITS_PER_PIXEL = {
    "pixels": (1.0, 1.0),
    "mixed": (1.0, PER_PIXEL),
    "normalized": (PER_PIXEL, PER_PIXEL),
}


def build_parser():
    parser = arguments.Parser(__doc__)
    parser.add_argument(
        "runs", nargs="+", help="folders of finished runs of the CoordConv net"
    )
    parser.add_argument(
        "--output",
        default="units.png",
        help="the figure to write (default: %(default)s)",
    )
    return parser


def read_run(folder):
    """A run as `plots.plot_units` takes it."""
    run = history.read_run(folder)
    units = run["args"]["units"]
    model = run_files.load_model(f"{folder}/best.keras", compile=False)
    # The net's inputs are x, y, and then the row and the column.
    kernel = model.get_layer("coordconv1").get_weights()[0][0, 0]
    kernel *= np.repeat(UNITS_PER_PIXEL[units], 2)[:, None]
    directions = kernel / np.linalg.norm(kernel, axis=0)
    return {
        "units": units,
        "scale": run["args"]["first_layer_scale"],
        "accuracy": run["metrics"]["test_accuracy"],
        "weights": directions[[0, 3]].T,
    }


@arguments.command
def main(argv=None):
    args = build_parser().parse_args(argv)
    figure = plots.plot_units([read_run(folder) for folder in args.runs])
    _files.write_figure(args.output, figure)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
