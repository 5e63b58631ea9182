"""Benchmark: frames per second of A2C, and how its time is spent.

    pip install '.[atari]' torch stable-baselines3
    python examples/benchmark_atari.py --game Seaquest

trains the same network with the same settings in the same environments: with
this project, using a convolution and CoordConv, and with stable-baselines3 on
PyTorch. They run in turns, so that background load affects all of them equally.
The results are medians, and the median of the ratios to stable-baselines3 in
the same turn. If that package is not installed, only this project is measured.
"""

import startup  # noqa: F401, before the rest

import functools
import importlib.util
import time

import keras
import numpy as np

from keras_coordconv.experiments import benchmarking
from keras_coordconv.experiments.models import actor_critic
from keras_coordconv.experiments.reinforcement import a2c
from keras_coordconv.experiments.reinforcement.environments import (
    make_environments,
)
from keras_coordconv.experiments.training import flags
from keras_coordconv.experiments.training.command import command

NAME = "benchmark_atari"
BASELINE = "stable-baselines3"
PARTS = ("environments", "policy", "update")
LEARNING_RATE = 0.0007
ENVIRONMENTS = 16
ROLLOUT_STEPS = 5


class Stopwatch:
    """Measures how long an object's methods take.

    Args:
        watched: Object whose methods are timed.
    """

    def __init__(self, watched):
        self._watched = watched
        self.seconds = {}

    def __getattr__(self, name):
        attribute = getattr(self._watched, name)
        if not callable(attribute):
            return attribute

        def timed(*arguments, **options):
            start = time.perf_counter()
            result = attribute(*arguments, **options)
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0) + spent
            return result

        return timed


class Ours:
    """A2C of this project.

    Args:
        game: String.
        layer: String, `"conv"` or `"coordconv"`.
    """

    def __init__(self, game, layer):
        self.environments = Stopwatch(make_environments(game, ENVIRONMENTS))
        model = actor_critic.image_actor_critic(
            self.environments.action_count,
            self.environments.observation_shape,
            layer,
        )
        a2c.compile_model(model, LEARNING_RATE)
        self.model = Stopwatch(model)
        self.rollouts = a2c.Rollouts(self.environments, ROLLOUT_STEPS)
        self.rollouts.reset(seed=0)

    def train(self, batches):
        """Trains, and returns the seconds that each of `PARTS` took."""
        self.environments.seconds.clear()
        self.model.seconds.clear()
        for _ in range(batches):
            batch = self.rollouts.collect(self.model)
            self.model.train_on_batch(*batch, return_dict=True)

        return (
            self.environments.seconds["step"],
            self.model.seconds["predict_on_batch"],
            self.model.seconds["train_on_batch"],
        )


class StableBaselines3:
    """A2C of stable-baselines3, in this project's environments."""

    def __init__(self, game):
        import gymnasium
        from stable_baselines3 import A2C
        from stable_baselines3.common.sb2_compat.rmsprop_tf_like import (
            RMSpropTFLike,
        )
        from stable_baselines3.common.vec_env import VecEnv

        class VectorEnvironment(VecEnv):
            def __init__(self, environments):
                self.environments = environments
                super().__init__(
                    environments.count,
                    gymnasium.spaces.Box(
                        0, 255, environments.observation_shape, np.uint8
                    ),
                    gymnasium.spaces.Discrete(environments.action_count),
                )

            def reset(self):
                return self.environments.reset(seed=0)

            def step_async(self, actions):
                self.played = self.environments.step(actions)

            def step_wait(self):
                played = self.played
                ends = played.terminated | played.truncated
                nothing = [{} for _ in ends]
                return played.observations, played.rewards, ends, nothing

            def get_attr(self, attr_name, indices=None):
                return [None] * self.num_envs

            def set_attr(self, attr_name, value, indices=None):
                raise NotImplementedError

            def env_method(self, method_name, *arguments, **options):
                raise NotImplementedError

            def env_is_wrapped(self, wrapper_class, indices=None):
                return [False] * self.num_envs

            def close(self):
                pass

        self.learner = A2C(
            "CnnPolicy",
            VectorEnvironment(make_environments(game, ENVIRONMENTS)),
            learning_rate=LEARNING_RATE,
            n_steps=ROLLOUT_STEPS,
            ent_coef=0.01,
            seed=0,
            device="cpu",
            policy_kwargs={
                "optimizer_class": RMSpropTFLike,
                "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5},
            },
        )

    def train(self, batches):
        self.learner.learn(
            batches * ENVIRONMENTS * ROLLOUT_STEPS,
            log_interval=10**9,
            reset_num_timesteps=False,  # Otherwise it starts new games.
        )
        return ()


def build_parser():
    parser = flags.Parser(__doc__)
    parser.add_argument(
        "--game", default="Seaquest", help="Atari game (default: %(default)s)"
    )
    parser.add_argument(
        "--batches",
        type=flags.positive_integer,
        default=50,
        help=f"batches of {ENVIRONMENTS * ROLLOUT_STEPS} steps to train per "
        "turn (default: %(default)s)",
    )
    parser.add_argument(
        "--dtype-policy",
        type=flags.dtype_policy,
        default="float32",
        help="Keras dtype policy of this project's networks; "
        "stable-baselines3 uses float32 (default: %(default)s)",
    )
    benchmarking.add_flags(parser, NAME, turns=9)
    return parser


def measure(learner, batches):
    """Measures the seconds of a training, and of each of its parts if known."""
    start = time.perf_counter()
    parts = learner.train(batches)
    return time.perf_counter() - start, *parts


@command
def main(argv=None):
    args = build_parser().parse_args(argv)
    output = benchmarking.make_output(args)
    keras.config.set_dtype_policy(args.dtype_policy)
    learners = {layer: Ours(args.game, layer) for layer in actor_critic.LAYERS}
    if importlib.util.find_spec("stable_baselines3"):
        learners[BASELINE] = StableBaselines3(args.game)
    for learner in learners.values():
        learner.train(2)  # The first calls compile and allocate.
    measured = benchmarking.measure_in_turns(
        {
            name: functools.partial(measure, learner, args.batches)
            for name, learner in learners.items()
        },
        args.turns,
    )
    frames = args.batches * ENVIRONMENTS * ROLLOUT_STEPS * 4
    rows = []
    for name, times in measured.items():
        seconds, *parts = times.T
        row = {
            "learner": name,
            "frames_per_second": frames / float(np.median(seconds)),
        }
        if BASELINE in measured:
            row["ratio"] = benchmarking.median_ratio(
                measured[BASELINE][:, 0], seconds
            )
        for part, values in zip(PARTS, parts, strict=False):
            row[f"{part}_share"] = benchmarking.median_ratio(values, seconds)
        rows.append(row)
        print(", ".join(f"{key} {_shown(x)}" for key, x in row.items()))
    return benchmarking.write_results(output, args, rows)


def _shown(value):
    return value if isinstance(value, str) else f"{value:.4g}"


if __name__ == "__main__":
    main()
