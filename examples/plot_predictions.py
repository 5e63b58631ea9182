"""Figure 5 of the CoordConv paper for several nets, from their runs.

    python examples/plot_predictions.py --conv RUN --coordconv RUN

draws, for a run of coordinate classification with each layer on one split, the
sums of the true pixels and of the probabilities that each net gives, for the
training and the test set.
"""

import startup  # noqa: F401, before the rest

import keras

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.training import arguments
from keras_coordconv.experiments.training import history
from keras_coordconv.experiments.training import run_files

TITLES = {"conv": "convolution", "coordconv": "CoordConv"}
SUBSETS = {"train": "trained on", "test": "never seen"}


def build_parser():
    parser = arguments.Parser(__doc__)
    for layer in TITLES:
        parser.add_argument(
            f"--{layer}", required=True, help="folder of a finished run"
        )
    parser.add_argument(
        "--output",
        default="predictions.png",
        help="the figure to write (default: %(default)s)",
    )
    return parser


def sum_probabilities(model, locations):
    logits = model.predict(locations, batch_size=64, verbose=0)
    return plots.sum_images([keras.ops.softmax(logits)])


@arguments.command
def main(argv=None):
    args = vars(build_parser().parse_args(argv))
    splits = {history.read_flags(args[layer])["split"] for layer in TITLES}
    if len(splits) > 1:
        raise ValueError(
            "The runs must be of one split. "
            f"Received: {' and '.join(sorted(splits))}."
        )
    examples = {
        title: not_so_clevr.load_arrays(*splits, subset)
        for subset, title in SUBSETS.items()
    }
    truths = {
        title: plots.sum_images([not_so_clevr.draw_pixels(one["pixel"])])
        for title, one in examples.items()
    }
    predictions = {}
    for layer, column in TITLES.items():
        model = run_files.load_model(f"{args[layer]}/best.keras")
        predictions[column] = {
            title: sum_probabilities(model, one["location"])
            for title, one in examples.items()
        }
    figure = plots.plot_summed_predictions(truths, predictions)
    _files.write_figure(args["output"], figure)
    print(f"written: {args['output']}")


if __name__ == "__main__":
    main()
