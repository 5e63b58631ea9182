"""Screens of the Atari game Pong, with the positions of its three objects.

The positions come from the memory of the game, so they are exact. The package
`ale-py` (GPL-2.0) contains the emulator and the game, which is played by random
moves here. `pip install '.[atari]'` installs it.
"""

import numpy as np

from keras_coordconv._install import install_command

POINTS = ("ball", "player", "opponent")
# Height and width of the field in pixels of the screen, and its first row.
FIELD, TOP = 160, 34
# Addresses in the game's memory: row and column of each object, or its column.
ADDRESSES = {"ball": (54, 49), "player": (51, 141.5), "opponent": (50, 17.5)}
# From the numbers in memory to the centers of the objects, in pixels.
OFFSETS = {"ball": (-46.5, -48.5), "player": (-40, 0), "opponent": (-41.5, 0)}
BACKGROUND, BALL_COLOR = 87, 236
FRAMES_PER_STEP, STEPS_PER_MOVE = 4, 5
# The subsets are from different games.
SEEDS = {"train": 0, "validation": 1, "test": 2, "quadrant": 3}


def load_screens(subset, count):
    """Plays games and returns screens on which the ball is visible.

    Args:
        subset: String, `"train"`, `"validation"`, `"test"` or `"quadrant"`,
            which are from different games. The ball is in the lower right
            quadrant of the field on all screens of `"quadrant"`, and on no
            others.
        count: Integer, number of screens.

    Returns:
        Dictionary of `image`, float32 of shape `(count, 80, 80, 1)`, the field
        at half the resolution, from 0 for the background to 1 for the ball; and
        `points`, float32 of shape `(count, 3, 2)`, the row and the column of
        each of `POINTS`, as fractions of the field. The players may be partly
        outside of the field, and their centers, too.

    Raises:
        ValueError: if `ale-py` is not installed.
    """
    images, points = [], []
    for field, centers in _play(SEEDS[subset]):
        row, column = centers[0]
        is_inside = min(row, column) >= 0 and max(row, column) < FIELD
        if not is_inside or field[int(row), int(column)] != BALL_COLOR:
            continue
        in_quadrant = min(row, column) >= FIELD / 2
        if in_quadrant != (subset == "quadrant"):
            continue
        halves = field.reshape(FIELD // 2, 2, FIELD // 2, 2)
        brightness = halves.mean((1, 3), dtype="float32") - BACKGROUND
        images.append(brightness / (BALL_COLOR - BACKGROUND))
        # The first pixel is from 0 to 1.
        points.append((np.array(centers) + 0.5) / FIELD)
        if len(images) == count:
            break
    return {
        "image": np.stack(images)[..., None],
        "points": np.stack(points).astype("float32"),
    }


def _play(seed):
    """Yields the gray field and the objects' centers, in pixels, forever."""
    try:
        import ale_py
    except ModuleNotFoundError:
        raise ValueError(
            "The package ale-py is not installed. "
            f"Run: {install_command('atari')}"
        ) from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    game = ale_py.ALEInterface()
    game.setInt("random_seed", seed)
    game.setFloat("repeat_action_probability", 0.0)
    game.loadROM(ale_py.roms.get_rom_path("pong"))
    moves = [ale_py.Action.NOOP, ale_py.Action.RIGHT, ale_py.Action.LEFT]
    random = np.random.default_rng(seed)
    while True:
        move = moves[random.integers(len(moves))]
        for _ in range(STEPS_PER_MOVE):
            if game.game_over():
                game.reset_game()
            for _ in range(FRAMES_PER_STEP):
                game.act(move)
            memory = game.getRAM().astype(int)
            centers = []
            for name in POINTS:
                (row, column), offsets = ADDRESSES[name], OFFSETS[name]
                if name == "ball":
                    column = memory[column]
                centers.append((memory[row] + offsets[0], column + offsets[1]))
            screen = game.getScreenGrayscale()
            yield screen[TOP : TOP + FIELD], centers
