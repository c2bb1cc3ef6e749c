"""Digilent Arty Z7-20: an XC7Z020, which the free edition of Vivado lists."""

from amaranth_boards.arty_z7 import ArtyZ720Platform

from .board import ZynqBoard

__all__ = ["BOARD"]

BOARD = ZynqBoard(
    name="arty-z7-20", title="Digilent Arty Z7-20, XC7Z020", platform=ArtyZ720Platform,
    source="amaranth-boards", part="xc7z020clg400-1", idcode=0x03727093,
    free_vivado=True, open_route=True, leds=(("led", 0), ("led", 1)), loader=("-b", "arty_z7_20"))
