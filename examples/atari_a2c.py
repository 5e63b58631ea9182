"""Atari games: an actor-critic with or without CoordConv.

Figure 8 of the CoordConv paper (https://arxiv.org/abs/1807.03247). Its claim:
with CoordConv, A2C learns six of nine games better, two equally well and one
slightly worse. The paper does not name the games, the training length or the
position of the layer. Here it is the first convolution of the usual network.

    pip install '.[atari]'
    python examples/atari_a2c.py --game Seaquest

trains on Seaquest, and plays 30 games at the end. It also works with any
Gymnasium environment that has discrete actions:

    python examples/atari_a2c.py --game CartPole-v1 --layer dense

reaches a mean return of 498.6 of 500 in the test games at seed 0.

Environments cannot be saved. So each epoch starts with new games, which depend
only on --seed and the epoch: a resumed run plays the games that would have come
next. Games that are unfinished at the end of an epoch are not counted.
"""

import startup  # noqa: F401, before the rest

import keras
import numpy as np
from tqdm import tqdm

from keras_coordconv import _files
from keras_coordconv.experiments import plots
from keras_coordconv.experiments.evaluation import game_scores
from keras_coordconv.experiments.models import actor_critic
from keras_coordconv.experiments.reinforcement import a2c
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)
from keras_coordconv.experiments.training import callbacks
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training import recipes
from keras_coordconv.experiments.training import run_files
from keras_coordconv.experiments.training.command import command
from keras_coordconv.experiments.training.run import Run

NAME = "atari_a2c"
# The learning rate decays as in the usual ten million steps.
ATARI = {
    "epochs": 10,
    "steps_per_epoch": 1250,
    "learning_rate": 0.0007,
    "decay_epochs": 100,
    "entropy_weight": 0.01,
}
RECIPES = {
    "--layer coordconv": ATARI,
    "--layer conv": ATARI,
    "--layer dense": {
        "epochs": 10,
        "steps_per_epoch": 500,
        "learning_rate": 0.002,
        "decay_epochs": 10,
        "entropy_weight": 0.0,
    },
}
# The usual A2C settings: 16 environments, 5 steps of each per batch.
ENVIRONMENTS = 16
ROLLOUT_STEPS = 5
STEPS_PER_BATCH = ENVIRONMENTS * ROLLOUT_STEPS
DISCOUNT = 0.99


def build_parser():
    parser = flags.build_parser(__doc__)
    game = parser.add_argument_group("game and model")
    game.add_argument(
        "--game",
        default="Seaquest",
        help="Atari game, such as SpaceInvaders, or Gymnasium environment "
        "(default: %(default)s)",
    )
    game.add_argument(
        "--layer",
        choices=(*actor_critic.LAYERS, "dense"),
        default="coordconv",
        help="first layer of the network; use dense for vector observations "
        "(default: %(default)s)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=flags.positive_integer,
        help="number of epochs, each with --steps-per-epoch batches of "
        f"{STEPS_PER_BATCH} game steps",
    )
    training.add_argument(
        "--learning-rate",
        type=flags.not_negative_number,
        help="initial learning rate",
    )
    training.add_argument(
        "--decay-epochs",
        type=flags.positive_integer,
        help="epochs over which the learning rate decays linearly to 0",
    )
    training.add_argument(
        "--entropy-weight",
        type=flags.not_negative_number,
        help="weight of the policy's entropy in the loss",
    )
    training.add_argument(
        "--test-games",
        type=flags.positive_integer,
        default=30,
        help="number of games to play after training (default: %(default)s)",
    )
    return parser


def check_flags(args, environments):
    if args.limit_examples:
        raise ValueError(
            "--limit-examples has no effect here: games are not a data set."
        )
    shape = environments.observation_shape
    if (args.layer == "dense") != (len(shape) == 1):
        raise ValueError(
            "--layer dense is for observations that are vectors, coordconv and "
            f"conv for images. Received: --layer {args.layer} --game "
            f"{args.game}, with observations of shape {shape}."
        )


def build_model(args, environments):
    shape = environments.observation_shape
    if args.layer == "dense":
        return actor_critic.vector_actor_critic(
            environments.action_count, shape
        )
    return actor_critic.image_actor_critic(
        environments.action_count, shape, args.layer
    )


@command
def main(argv=None):
    args = recipes.parse(build_parser(), RECIPES, argv)
    environments = make_environments(args.game, ENVIRONMENTS)
    check_flags(args, environments)
    with Run(NAME, args) as run:
        model = build_model(args, environments)
        model.summary()
        learning_rate = keras.optimizers.schedules.PolynomialDecay(
            args.learning_rate,
            decay_steps=args.decay_epochs * args.steps_per_epoch,
            end_learning_rate=0.0,
        )
        a2c.compile_model(model, learning_rate, args.entropy_weight)
        run.track(model)
        games = []
        if run.epochs_done:
            games = [
                game
                for game in run_files.read_table(run.path / "games.csv")
                if game["epoch"] <= run.epochs_done
            ]
        rollouts = a2c.Rollouts(environments, ROLLOUT_STEPS, DISCOUNT)
        for epoch in run.epochs(args.epochs):
            logs = train_epoch(args, epoch, model, rollouts, games)
            run_files.write_table(run.output("games.csv"), games)
            run.end_epoch(logs)
            shown = ", ".join(f"{name} {x:.4g}" for name, x in logs.items())
            print(f"epoch {epoch}/{args.epochs}: {shown}")

        trained = run.trained_model()
        scores, first_game = a2c.play_games(
            trained,
            make_environments(args.game, args.test_games),
            seed=[args.seed, 0],
        )
        frames = run.history[-1]["steps"] * environments.frames_per_step
        metrics = {
            "train_return": run.history[-1].get("return"),
            "test_return": float(scores.mean()),
            "test_return_deviation": float(scores.std()),
            "frames": frames,
            "frames_per_second": frames / run.seconds,
        }
        print("test scores:", *(f"{score:g}" for score in scores))
        run.save_figure(
            "returns",
            plots.plot_returns(
                [{"args": vars(args), "history": run.history, "games": games}]
            ),
        )
        if args.layer != "dense":
            with _files.atomic_write(run.output("figures", "game.gif")) as path:
                environments.save_animation(first_game, path)
        if args.export_dir:
            run.export(trained, metrics, outputs=actor_critic.serving_outputs)
        return run.finish(metrics)


def train_epoch(args, epoch, model, rollouts, games):
    """Trains for one epoch, and appends the finished games to `games`.

    Returns:
        Dictionary with the number of steps so far, the mean return of the last
        games, and the mean losses.
    """
    frames_per_step = rollouts.environments.frames_per_step
    steps = args.steps_per_epoch * STEPS_PER_BATCH
    before = [game["return"] for game in games[-game_scores.GAMES_IN_MEAN :]]
    batches = []
    rollouts.reset(seed=[args.seed, epoch])
    with tqdm(
        desc=f"epoch {epoch}/{args.epochs}",
        total=steps * frames_per_step,
        unit="frame",
        unit_scale=True,
        mininterval=1,
    ) as bar:
        for _ in range(args.steps_per_epoch):
            batch = rollouts.collect(model)
            batches.append(model.train_on_batch(*batch, return_dict=True))
            returns = before + [score for _, score in rollouts.scores]
            logs = {"steps": epoch * steps}
            if returns:
                logs["return"] = np.mean(returns[-game_scores.GAMES_IN_MEAN :])
            bar.set_postfix(logs | batches[-1], refresh=False)
            bar.update(STEPS_PER_BATCH * frames_per_step)
    games += [
        {"epoch": epoch, "steps": (epoch - 1) * steps + at, "return": score}
        for at, score in rollouts.scores
    ]
    for name in batches[0]:
        logs[name] = np.mean([batch[name] for batch in batches])
    return callbacks.plain_names(logs)


if __name__ == "__main__":
    main()
