"""Figure 8 of the CoordConv paper: Atari games with and without CoordConv.

    python examples/atari_compare.py --games Seaquest Qbert --seeds 0 1 2

runs atari_a2c.py on each game with both layers and these seeds, one run after
another, each in its own folder in --workdir. To continue an interrupted
comparison, start the same command again.

From the finished runs, it draws

    returns.png          one panel per game: mean return of the last 100
                         training games, averaged over the seeds, with the range
                         of the seeds and the score of random play
    test_scores.png      interquartile mean of the human-normalized test scores
                         over all games and seeds, with a 95 % interval from the
                         bootstrap of the runs within each game

and writes table.csv. The paper does not name its nine games: the default ones
are our choice.
"""

import startup  # noqa: F401, before the rest

import itertools
import pathlib
import sys

import numpy as np

from keras_coordconv import _files
from keras_coordconv import _signals
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.evaluation import game_scores
from keras_coordconv.experiments.models import actor_critic
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import results
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training import sweeps
from keras_coordconv.experiments.training.command import command


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--games",
        nargs="+",
        default=list(game_scores.RANDOM_AND_HUMAN),
        help="default: %(default)s",
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        choices=actor_critic.LAYERS,
        default=list(actor_critic.LAYERS),
        help="default: %(default)s",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=flags.seed,
        default=[0, 1, 2],
        help="default: 0 1 2",
    )
    for flag in ("--epochs", "--steps-per-epoch", "--test-games"):
        parser.add_argument(
            flag,
            type=flags.positive_integer,
            help="flag of each run (default: as in atari_a2c.py)",
        )
    parser.add_argument(
        "--dtype-policy",
        type=flags.dtype_policy,
        help="flag of each run (default: as in atari_a2c.py)",
    )
    parser.add_argument(
        "--workdir",
        default="runs/atari_compare",
        help="folder that contains the runs' folders (default: %(default)s)",
    )
    parser.add_argument(
        "--draw", action="store_true", help="only draw the finished runs"
    )
    return parser


def list_runs(args):
    """Lists the settings of all runs, one dictionary of flags per run."""
    given = {
        flag: value
        for flag, value in (
            ("epochs", args.epochs),
            ("steps-per-epoch", args.steps_per_epoch),
            ("test-games", args.test_games),
            ("dtype-policy", args.dtype_policy),
        )
        if value
    }
    # All games with one seed come before the next seed.
    return [
        {"game": game, "layer": layer, "seed": seed, **given}
        for seed, game, layer in itertools.product(
            args.seeds, args.games, args.layers
        )
    ]


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    workdir = pathlib.Path(args.workdir)
    script = pathlib.Path(__file__).with_name("atari_a2c.py")
    points = [
        (
            script,
            workdir / "_".join(f"{k}={v}" for k, v in settings.items()),
            settings,
        )
        for settings in list_runs(args)
    ]
    with _signals.ContinuedBy("python", *sys.argv):
        failed = [] if args.draw else sweeps.run_points(points)
    runs = [
        results.read_run(folder)
        | {"games": run_files.read_table(folder / "games.csv")}
        for _, folder, _ in points
        if sweeps.is_done(folder)
    ]
    if runs:
        write_results(workdir, runs)
    sweeps.check_all_succeeded(failed)
    return runs


def write_results(workdir, runs):
    rows = [
        {name: run["args"][name] for name in ("game", "layer", "seed")}
        | run["metrics"]
        for run in runs
    ]
    _files.write_table(workdir / "table.csv", rows)
    _files.write_figure(workdir / "returns.png", plots.plot_returns(runs))
    written = ["table.csv", "returns.png"]
    intervals = {}
    for layer in actor_critic.LAYERS:
        scores = normalized_scores(rows, layer)
        if scores:
            mean = game_scores.interquartile_mean(np.concatenate(scores))
            interval = game_scores.bootstrap_interval(scores)
            intervals[layer] = (mean, *interval)
    if intervals:
        figure = plots.plot_intervals(
            intervals, "interquartile mean of human-normalized scores"
        )
        _files.write_figure(workdir / "test_scores.png", figure)
        written.append("test_scores.png")
    for row in rows:
        print(
            f"{row['game']:15s} {row['layer']:10s} seed {row['seed']} "
            f"test return {row['test_return']:8.1f} after {row['frames']} "
            f"frames, {row['frames_per_second']:.0f} frames/s"
        )
    for layer, (mean, low, high) in intervals.items():
        print(
            f"all games       {layer:10s} interquartile mean {mean:.4f}, "
            f"95 % interval {low:.4f} to {high:.4f}"
        )
    for name in written:
        print(f"written: {workdir / name}")


def normalized_scores(rows, layer):
    """Returns the human-normalized test returns of a layer, a list per game.

    Games without a known human score are skipped.
    """
    by_game = {}
    for row in rows:
        if row["layer"] == layer and row["game"] in (
            game_scores.RANDOM_AND_HUMAN
        ):
            score = game_scores.human_normalized(
                row["game"], row["test_return"]
            )
            by_game.setdefault(row["game"], []).append(score)
    return list(by_game.values())


if __name__ == "__main__":
    main()
