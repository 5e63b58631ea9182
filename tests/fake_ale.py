"""An emulator like that of `ale-py`, with a ball that flies along diagonals.

As in Pong, the memory contains the positions, with offsets.
"""

import types

import numpy as np

SIZE, TOP = 160, 34


class ALEInterface:
    frame = 0

    @staticmethod
    def setLoggerMode(mode):  # noqa: N802
        pass

    def setInt(self, name, value):  # noqa: N802
        self.frame = 40 * value

    def setFloat(self, name, value):  # noqa: N802
        pass

    def loadROM(self, path):  # noqa: N802
        assert path == "pong"

    def game_over(self):
        return self.frame % 1000 == 999

    def reset_game(self):
        self.frame += 1

    def act(self, move):
        self.frame += 1

    @property
    def corners(self):
        """Row and column of the first pixel of the ball and the players."""
        return {
            "ball": (self.frame % 157, self.frame * 7 % 159),
            "player": (self.frame * 3 % 145, 140),
            "opponent": (self.frame * 5 % 145, 16),
        }

    def getRAM(self):  # noqa: N802
        memory = np.zeros(128, "uint8")
        (row, column), (player, _), (opponent, _) = self.corners.values()
        memory[[54, 49, 51, 50]] = (
            row + 48,
            column + 49,
            player + 48,
            opponent + 49,
        )
        return memory

    def getScreenGrayscale(self):  # noqa: N802
        screen = np.full((210, SIZE), 87, "uint8")
        for name, (row, column) in self.corners.items():
            height, width, color = (
                (4, 2, 236) if name == "ball" else (16, 4, 147)
            )
            # Every fifth ball is invisible.
            if name != "ball" or self.frame % 5:
                rows = slice(TOP + row, TOP + row + height)
                screen[rows, column : column + width] = color
        return screen


roms = types.SimpleNamespace(get_rom_path=str)
LoggerMode = types.SimpleNamespace(Error=None)
Action = types.SimpleNamespace(NOOP=0, RIGHT=1, LEFT=2)
