"""Figures of the CoordConv paper, and others, from finished runs.

    python examples/plot.py KIND RUN...

scores          Figures 4 and 6: the final test score of each run against its
                train score, and the test score over the training time; median
                and range of the runs that differ only in their seed. Runs of
                one task.
epochs          The test score after each epoch, one panel per run. Runs of one
                task.
predictions     Figure 5: the sums of the true pixels and of the predicted
                probabilities, for the training and the test set. Two runs of
                coordinate_classification.py on one split, one with each layer.
units           Why CoordConv extrapolates: the test accuracy over the initial
                scale of the first layer, and the trained weights on x and on
                the column. Runs of `sweep.py coordinate_classification --grid
                units`.
generators      Figure 7, from runs of clevr_gan.py: samples, positions of the
                objects, their differences, and the average of 1000 images. Or,
                from runs of clevr_vae.py, interpolations between images.
position_codes  Which held-out positions the networks find, by position code and
                split. Prints tables with 95 % intervals over the seeds
                (Student's; Welch's for differences). Runs of position_codes.py.
key_points      Where the networks of the first run find the ball. Prints tables
                as above. Runs of key_points.py.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.canvas import CANVAS_SIZE
from keras_coordconv.experiments.datasets import not_so_clevr
from keras_coordconv.experiments.datasets import pong
from keras_coordconv.experiments.datasets import sort_of_clevr
from keras_coordconv.experiments.evaluation import intervals
from keras_coordconv.experiments.models import gan
from keras_coordconv.experiments.models import position_codes
from keras_coordconv.experiments.models import vae
from keras_coordconv.experiments.plots import style
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.command import command

SCORES = ("accuracy", "distance", "iou")
SUBSETS = {"train": "training", "test": "held-out"}
# Units per pixel, of (x, y) and of the coordinates.
PER_PIXEL = 2 / (CANVAS_SIZE - 1)
UNITS_PER_PIXEL = {
    "pixels": (1.0, 1.0),
    "mixed": (1.0, PER_PIXEL),
    "normalized": (PER_PIXEL, PER_PIXEL),
}
# Images of each generator, and interpolations of each VAE.
SAMPLES = 1000
LINES = 4


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument("kind", choices=KINDS, help="figure to draw")
    parser.add_argument("runs", nargs="+", help="folders of finished runs")
    parser.add_argument(
        "--output", help="file of the figure (default: KIND.png)"
    )
    return parser


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    runs = {folder: results.read_run(folder) for folder in args.runs}
    figure = KINDS[args.kind](runs)
    output = args.output or f"{args.kind}.png"
    _files.write_figure(output, figure)
    print(f"written: {output}")


def load_trained(folder):
    return run_files.load_model(f"{folder}/model.keras", compile=False)


def draw_scores(runs):
    return plots.plot_scores(group_runs(list(runs.values())), only_score(runs))


def draw_epochs(runs):
    return plots.plot_epochs(list(runs.values()), only_score(runs))


def only_score(runs):
    """Returns the name of the score that all runs have."""
    scores = {
        score
        for run in runs.values()
        for score in SCORES
        if f"test_{score}" in run["metrics"]
    }
    if len(scores) != 1:
        raise ValueError(
            "The runs must all be of one task. "
            f"Received: runs with {', '.join(sorted(scores)) or 'no score'}."
        )
    return scores.pop()


def group_runs(runs):
    """Groups the runs that differ only in their seed.

    Args:
        runs: List of dictionaries, from `results.read_run`.

    Returns:
        Dictionary from a label to a list of runs. The label has the layer, the
        split, and the other settings that distinguish the groups.

    Example:

    >>> group_runs([conv_seed0, conv_seed1, conv_wide])
    {'conv, width 1': [conv_seed0, conv_seed1], 'conv, width 2': [conv_wide]}
    """
    settings = [flags.training_flags(run["args"]) for run in runs]
    names = dict.fromkeys(["layer", "split", *(n for s in settings for n in s)])
    labels = [""] * len(runs)
    for name in names:
        if name == "seed":
            continue
        shown = "{}" if name in ("layer", "split") else f"{name} {{}}"
        longer = [
            ", ".join(filter(None, [label, shown.format(own[name])]))
            if name in own
            else label
            for label, own in zip(labels, settings, strict=True)
        ]
        if name in ("layer", "split") or len(set(longer)) > len(set(labels)):
            labels = longer
    groups = {}
    for label, run in zip(labels, runs, strict=True):
        groups.setdefault(label, []).append(run)
    return groups


def draw_predictions(runs):
    args = [run["args"] for run in runs.values()]
    layers = [f"{own['layer']} on {own['split']}" for own in args]
    splits = {own["split"] for own in args}
    if len(splits) > 1 or len(set(layers)) < len(layers):
        raise ValueError(
            "The runs must be of one split, each with a different layer. "
            f"Received: {', '.join(layers)}."
        )
    examples = {
        title: not_so_clevr.load_arrays(*splits, subset)
        for subset, title in SUBSETS.items()
    }
    true_sums = {
        title: plots.sum_images([not_so_clevr.draw_pixels(one["pixel"])])
        for title, one in examples.items()
    }
    predictions = {}
    for folder, run in runs.items():
        model = load_trained(folder)
        predictions[style.name_of(run["args"]["layer"])] = {
            title: sum_probabilities(model, one["location"])
            for title, one in examples.items()
        }
    return plots.plot_summed_predictions(true_sums, predictions)


def sum_probabilities(model, locations):
    logits = model.predict(locations, batch_size=64, verbose=0)
    return plots.sum_images([keras.ops.softmax(logits)])


def draw_units(runs):
    return plots.plot_units(
        [first_layer(folder, run) for folder, run in runs.items()]
    )


def first_layer(folder, run):
    """Returns a run in the form that `plots.plot_units` expects."""
    units = run["args"]["units"]
    # The inputs of the layer are x, y, the row and the column.
    kernel = load_trained(folder).get_layer("coordconv1").get_weights()[0][0, 0]
    kernel *= np.repeat(UNITS_PER_PIXEL[units], 2)[:, None]
    directions = kernel / np.linalg.norm(kernel, axis=0)
    return {
        "units": units,
        "scale": run["args"]["first_layer_scale"],
        "accuracy": run["metrics"]["test_accuracy"],
        # The weights on x and on the column, per pixel, of filters scaled to
        # length 1. In the solution, x - column, their signs are opposite.
        "weights": directions[[0, 3]].T,
    }


def draw_generators(runs):
    are_vaes = {"kl_weight" in run["args"] for run in runs.values()}
    if len(are_vaes) > 1:
        raise ValueError(
            "The runs must all be of clevr_gan.py, or all of clevr_vae.py. "
            f"Received: {' '.join(runs)}"
        )
    real = sort_of_clevr.load_arrays("test", SAMPLES)["image"]
    models = {
        f"{style.name_of(run['args']['layer'])}, seed {run['args']['seed']}, "
        f"{len(run['history'])} epochs": load_trained(folder)
        for folder, run in runs.items()
    }
    if are_vaes == {True}:
        return plots.plot_lines(
            {
                name: vae.interpolate(
                    model.get_layer("encoder"),
                    model.get_layer("decoder"),
                    real[: 2 * LINES],
                    steps=12,
                )
                for name, model in models.items()
            }
        )
    samples = {name: draw_samples(model) for name, model in models.items()}
    return plots.plot_coverage({"data": real} | samples)


def draw_samples(generator):
    shape = (SAMPLES, generator.input_shape[-1])
    latent = np.random.default_rng(0).uniform(-1, 1, shape)
    return gan.draw(generator, latent)


def draw_position_codes(runs):
    read = [read_positions(folder, run) for folder, run in runs.items()]
    grouped = {}
    for run in read:
        grouped.setdefault((run["code"], run["split"]), []).append(run)

    def scores(code, split, subset="test"):
        return [100 * run[f"{subset}_accuracy"] for run in grouped[code, split]]

    def test_cell(code, split):
        values = scores(code, split)
        text = f"{np.mean(values):.1f}"
        if len(values) > 1:
            text += f" ± {intervals.mean_interval(values)[1]:.1f}"
        return text if len(values) == 5 else f"{text} ({len(values)})"

    def difference_cell(code, split):
        values, others = scores(code, split), scores("coordinates", split)
        if min(len(values), len(others)) < 2:
            return ""
        difference, width = intervals.difference_interval(values, others)
        return f"{difference:+.1f} ± {width:.1f}"

    print_table("test accuracy, %", grouped, test_cell)
    print_table(
        "training accuracy, %",
        grouped,
        lambda *key: f"{np.mean(scores(*key, 'train')):.1f}",
    )
    print_table(
        "distance, pixels",
        grouped,
        lambda *key: (
            f"{np.mean([run['test_distance'] for run in grouped[key]]):.2f}"
        ),
    )
    if any(code == "coordinates" for code, _ in grouped):
        print_table("difference from coordinates", grouped, difference_cell)
    print()
    return plots.plot_position_codes(read)


def read_positions(folder, run):
    """Returns a run in the form that `plots.plot_position_codes` expects."""
    rows = run_files.read_table(f"{folder}/found.csv")
    centers = np.array([(row["x"], row["y"]) for row in rows])
    found = np.array([(row["found_x"], row["found_y"]) for row in rows])
    return {
        **{name: run["args"][name] for name in ("code", "split", "seed")},
        **run["metrics"],
        "centers": centers,
        "found": np.all(centers == found, axis=-1),
    }


def print_table(title, runs, cell):
    """Prints a table with one row per code and one column per split.

    Args:
        title: String, title of the table.
        runs: Dictionary from a pair of a code and a split to their runs.
        cell: Function from a code and a split to a string.
    """
    codes = [c for c in position_codes.CODES if any(c == k[0] for k in runs)]
    splits = [s for s in not_so_clevr.SPLITS if any(s == k[1] for k in runs)]
    print(f"\n| {title} | {' | '.join(splits)} |")
    print("|---" * (1 + len(splits)) + "|")
    for code in codes:
        cells = [
            cell(code, split) if (code, split) in runs else ""
            for split in splits
        ]
        print(f"| `{code}` | {' | '.join(cells)} |")


def draw_key_points(runs):
    scores = {}
    for run in runs.values():
        for head in run["args"]["heads"]:
            scores.setdefault(head, []).append(run["metrics"])
    for subset in ("train", "test", "quadrant"):
        print_distances(subset, scores)
    screens = pong.load_screens("quadrant", 500)
    found = load_trained(next(iter(runs))).predict(screens["image"], verbose=0)
    return plots.plot_key_points(
        screens["image"][0, ..., 0],
        pong.FIELD * screens["points"][:, 0],
        {head: pong.FIELD * points[:, 0] for head, points in found.items()},
        pong.FIELD,
    )


def print_distances(subset, scores):
    """Prints the mean distances of each network, in pixels.

    Args:
        subset: String.
        scores: Dictionary from the name of a network to a list of the metrics
            of its runs. The ball's distance is compared with the first network.
    """

    def values(head, point):
        name = f"{subset}_{head}_{point}_distance"
        return [own[name] for own in scores[head]]

    print(f"\n| {subset} | {' | '.join(pong.POINTS)} | ball, difference |")
    print("|---" * (2 + len(pong.POINTS)) + "|")
    first = next(iter(scores))
    for head in scores:
        cells = []
        for point in pong.POINTS:
            cells.append(f"{np.mean(values(head, point)):.1f}")
            if len(scores[head]) > 1:
                _, width = intervals.mean_interval(values(head, point))
                cells[-1] += f" ± {width:.1f}"
        pair = values(head, "ball"), values(first, "ball")
        if head != first and min(map(len, pair)) > 1:
            difference, width = intervals.difference_interval(*pair)
            cells.append(f"{difference:+.1f} ± {width:.1f}")
        else:
            cells.append("")
        print(f"| `{head}` | {' | '.join(cells)} |")


KINDS = {
    "scores": draw_scores,
    "epochs": draw_epochs,
    "predictions": draw_predictions,
    "units": draw_units,
    "generators": draw_generators,
    "position_codes": draw_position_codes,
    "key_points": draw_key_points,
}

if __name__ == "__main__":
    main()
