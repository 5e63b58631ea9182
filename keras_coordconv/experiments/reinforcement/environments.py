"""Games to learn from: Atari's, or any other of Gymnasium.

Needs the packages of the extra `atari`.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image


class Step(NamedTuple):
    """What follows an action in each environment.

    Attributes:
        observations: Array, what is seen next: the start of the next game where
            one is over.
        rewards: Array of shape `(environments,)`, to learn from.
        terminated: Boolean array: nothing can follow in this episode.
        truncated: Boolean array: the episode ran out of time.
        last_observations: Array, what the truncated ones saw last.
        over: Boolean array: the game is over.
        scores: Array: what the game has given so far, as it counts itself.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    last_observations: np.ndarray
    over: np.ndarray
    scores: np.ndarray


class Environments:
    """Environments of a game that are stepped together.

    Args:
        game: String, its name.
        vector: `gymnasium.vector.VectorEnv` that begins the next game in the
            step in which one is over.

    Raises:
        ValueError: if observations are not numbers or images of bytes, or if
            there is no finite number of actions.
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
                "Observations must be vectors or images of bytes. "
                f"Received: {game} with {observations}"
            )
        if not isinstance(actions, gymnasium.spaces.Discrete):
            raise ValueError(
                "There must be a number of actions to choose from. "
                f"Received: {game} with {actions}"
            )
        self.observation_shape = observations.shape
        self.observation_dtype = observations.dtype
        self.action_count = int(actions.n)

    def reset(self, seed):
        """Begins new games; returns the first observations.

        Args:
            seed: Integer. Those of the environments are counted up from it.
        """
        observations, self._info = self._vector.reset(seed=seed)
        self._scores = np.zeros(self.count)
        return observations

    def step(self, actions):
        """Takes an action in each environment.

        Args:
            actions: Integer array of shape `(environments,)`.

        Returns:
            A `Step`.

        Raises:
            RuntimeError: if an environment fails.
        """
        previous_info = self._info
        try:
            observations, rewards, terminated, truncated, self._info = (
                self._vector.step(actions)
            )
        except Exception as error:
            raise RuntimeError(
                "Environments must play on until they are told to stop. "
                f"Received: from {self.game}, {error!r}. What was saved before "
                "is whole: continue the run with --resume."
            ) from error
        scores = self._scores + rewards
        over = self._over(terminated, truncated, previous_info)
        self._scores = np.where(over, 0, scores)
        last_observations = observations[:0]
        if truncated.any():
            # Where a game goes on, there may be `None`.
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
        """The latest image in an observation, to look at."""
        return observation.squeeze()

    def save_animation(self, observations, path):
        """Writes a game as a GIF that is as fast as it was played.

        Args:
            observations: List of what was seen, each with an image.
            path: String or path of the file, with `.gif` at its end.
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
    """Environments of an Atari game, prepared as is usual for learning.

    Each action is repeated for four frames. An observation is the last four
    images, grey, 84x84, of shape `(4, 84, 84)`; each is the brighter of two
    frames. A game begins with up to 30 frames without an action. To learn from,
    an episode ends with each life, and a reward is only its sign.

    Args:
        game: String, its name.
        rom: String, the name that `ale_py` has for it.
        count: Integer, how many environments.
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
        # Only when a life is lost, there are fewer than before.
        lost = self._info["lives"] < previous_info["lives"]
        return truncated | (terminated & ~lost)

    def _rewards_to_learn_from(self, rewards):
        return np.sign(rewards)


def make_environments(game, count):
    """Environments of a game by its name.

    Args:
        game: String, an Atari game as `"SpaceInvaders"`, or an environment of
            Gymnasium as `"CartPole-v1"`.
        count: Integer, how many environments.

    Returns:
        `Environments`.

    Raises:
        ImportError: if the packages of the extra `atari` are missing.
        ValueError: if there is no such game, or an actor-critic cannot play it.

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
            "Games need the packages of the extra atari. "
            f"Received: {error}. Run: pip install 'coordconv-keras[atari]'"
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
            "A game must be one of Atari, as SpaceInvaders, or an environment "
            f"of Gymnasium, as CartPole-v1. Received: {game} ({error})"
        ) from error
    return Environments(game, vector)
