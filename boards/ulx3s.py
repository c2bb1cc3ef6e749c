"""ULX3S with an LFE5U-85F: everything from the source to the bitstream is open."""

from amaranth_boards.ulx3s import ULX3S_85F_Platform

from .board import Ecp5Board

__all__ = ["BOARD"]

BOARD = Ecp5Board(
    name="ulx3s", title="Radiona ULX3S, LFE5U-85F", platform=ULX3S_85F_Platform,
    source="amaranth-boards", loader=("-b", "ulx3s"),
    # The processor beside the device takes a low level for the button that restarts the board.
    high=(("esp32", "gpio0"),))
