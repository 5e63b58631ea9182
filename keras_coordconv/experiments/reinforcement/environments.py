"""Environments of Atari games, or of any other game of Gymnasium.

Requires the packages of the extra `atari`.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_coordconv._install import install_command


class Step(NamedTuple):
    """Result of one step of all environments.

    All arrays but `observations` and `last_observations` have the shape
    `(environments,)`.

    Attributes:
        observations: Array, the next observations; if a game is over, the
            first observation of the next game.
        rewards: Array, the rewards to learn from.
        terminated: Boolean array, whether the episode has ended by itself.
        truncated: Boolean array, whether a time limit cut off the episode
            before it ended by itself.
        last_observations: Array, the last observations of the truncated
            episodes only.
        over: Boolean array, whether the game is over.
        scores: Array, the unclipped score of the game so far.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    last_observations: np.ndarray
    over: np.ndarray
    scores: np.ndarray


class Environments:
    """Environments of one game that are stepped together.

    Args:
        game: String, name of the game.
        vector: `gymnasium.vector.VectorEnv` that resets an environment in the
            same step in which its game ends.

    Raises:
        ValueError: if the observations are neither vectors nor uint8 images,
            or if the actions are not discrete.
    """

    frames_per_step = 1

    def __init__(self, game, vector):
        import gymnasium

        self.game = game
        self.count = vector.num_envs
        self._vector = vector
        observations = vector.single_observation_space
        actions = vector.single_action_space
        if not isinstance(observations, gymnasium.spaces.Box) or (
            len(observations.shape) > 1 and observations.dtype != np.uint8
        ):
            raise ValueError(
                "The observations must be vectors or uint8 images. "
                f"Received: {game} with {observations}"
            )
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise ValueError(
                "The action space must be `Discrete`. "
                f"Received: {game} with {actions}"
            )
        self.observation_shape = observations.shape
        self.observation_dtype = observations.dtype
        self.action_count = int(actions.n)
        self._first_action = int(actions.start)

    def reset(self, seed):
        """Starts new games and returns their first observations.

        Args:
            seed: Integer, seed of the first environment. Each of the others
                has the next integer as its seed.
        """
        observations, self._info = self._vector.reset(seed=seed)
        self._scores = np.zeros(self.count)
        return observations

    def step(self, actions):
        """Takes one action in each environment.

        Args:
            actions: Integer array of shape `(environments,)`, from 0 to
                `action_count - 1`, whatever the environment's first action is.

        Returns:
            A `Step`.

        Raises:
            RuntimeError: if an environment fails.
        """
        previous_info = self._info
        try:
            observations, rewards, terminated, truncated, self._info = (
                self._vector.step(actions + self._first_action)
            )
        except Exception as error:
            raise RuntimeError(
                f"The environment {self.game} failed while stepping: "
                f"{error!r}. The last checkpoint is intact: continue the run "
                "with --resume."
            ) from error
        scores = self._scores + rewards
        over = self._over(terminated, truncated, previous_info)
        self._scores = np.where(over, 0, scores)
        # An episode may end in the very step of its time limit.
        truncated = truncated & ~terminated
        last_observations = observations[:0]
        if truncated.any():
            # Environments that are not reset may have `None`.
            last_observations = np.stack(
                list(self._info["final_obs"][truncated])
            )
        return Step(
            observations,
            self._rewards_to_learn_from(rewards),
            terminated,
            truncated,
            last_observations,
            over,
            scores,
        )

    def newest_image(self, observation):
        """Returns the latest image of an observation, for display."""
        return observation.squeeze()

    def save_animation(self, observations, path):
        """Writes a game as a GIF at its original speed.

        Args:
            observations: List of observations.
            path: String or path of the file, ending in `.gif`.
        """
        images = [
            Image.fromarray(self.newest_image(observation))
            for observation in observations
        ]
        first, *others = (
            image.resize((2 * image.width, 2 * image.height))
            for image in images
        )
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=1000 * self.frames_per_step / 60,
            loop=0,
        )

    def _over(self, terminated, truncated, previous_info):
        return terminated | truncated

    def _rewards_to_learn_from(self, rewards):
        return rewards


class AtariEnvironments(Environments):
    """Environments of an Atari game with the usual preprocessing.

    Each action is repeated for four frames. An observation consists of the last
    four grayscale images of 84x84 pixels, shape `(4, 84, 84)`; each image is
    the maximum of two frames. A game starts with up to 30 frames without an
    action. For learning, an episode ends with each lost life, and rewards are
    clipped to their sign.

    Args:
        game: String, name of the game.
        rom: String, name of the game in `ale_py`.
        count: Integer, number of environments.
    """

    frames_per_step = 4

    def __init__(self, game, rom, count):
        from ale_py.vector_env import AtariVectorEnv
        from gymnasium.vector import AutoresetMode

        vector = AtariVectorEnv(
            rom,
            count,
            frameskip=self.frames_per_step,
            autoreset_mode=AutoresetMode.SAME_STEP,
            life_loss_info=True,
            reward_clipping=False,
        )
        super().__init__(game, vector)

    def newest_image(self, observation):
        return observation[-1]

    def _over(self, terminated, truncated, previous_info):
        # The number decreases only with a lost life: a new game resets it.
        lost = self._info["lives"] < previous_info["lives"]
        return truncated | (terminated & ~lost)

    def _rewards_to_learn_from(self, rewards):
        return np.sign(rewards)


def make_environments(game, count):
    """Creates the environments of a game from its name.

    Args:
        game: String, an Atari game such as `"SpaceInvaders"`, or an environment
            of Gymnasium such as `"CartPole-v1"`.
        count: Integer, number of environments.

    Returns:
        `Environments`.

    Raises:
        ImportError: if the packages of the extra `atari` are missing.
        ValueError: if the game is unknown, or an actor-critic cannot play it.

    Example:

    >>> environments = make_environments("Seaquest", count=16)
    >>> environments.reset(seed=0).shape
    (16, 4, 84, 84)
    """
    try:
        import ale_py.roms
        import gymnasium
    except ImportError as error:
        raise ImportError(
            "Playing games requires the packages of the extra atari. "
            f"Received: {error}. Run: {install_command('atari')}"
        ) from error
    roms = {rom.replace("_", ""): rom for rom in ale_py.roms.get_all_rom_ids()}
    if game.lower() in roms:
        return AtariEnvironments(game, roms[game.lower()], count)
    try:
        vector = gymnasium.make_vec(
            game,
            count,
            vectorization_mode="sync",
            vector_kwargs={
                "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP
            },
        )
    except gymnasium.error.Error as error:
        raise ValueError(
            "Unknown game: pass an Atari game, such as SpaceInvaders, or an "
            "environment of Gymnasium, such as CartPole-v1. "
            f"Received: {game} ({error})"
        ) from error
    return Environments(game, vector)
