"""The boards, by name."""

from __future__ import annotations

import difflib

from rtl.config import ConfigError

from . import adrv9361_z7035, arty_z7, ulx3s, xc7z035
from .board import Board

__all__ = ["BOARDS", "board"]

#: Every board by its name.
BOARDS: dict[str, Board] = {module.BOARD.name: module.BOARD
                            for module in (ulx3s, arty_z7, adrv9361_z7035, xc7z035)}


def board(name: str) -> Board:
    """Board of a name.

    Raises
    ------
    ConfigError
        If there is none; the message names those that there are.
    """
    if name not in BOARDS:
        close = difflib.get_close_matches(name, BOARDS, n=1)
        raise ConfigError(f"Board must be one of {', '.join(BOARDS)}, not {name!r}" +
                          (f"; did you mean {close[0]!r}?" if close else ""))
    return BOARDS[name]
