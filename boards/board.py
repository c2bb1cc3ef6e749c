"""What a board is: a device with pins, and how a design comes onto it."""

from __future__ import annotations

import dataclasses

from amaranth.build import Platform

__all__ = ["Board", "Ecp5Board", "ZynqBoard"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Board:
    """A board.

    Attributes
    ----------
    name : str
        Name on the command line.
    title : str
        What it is, with the device.
    platform : type of Platform
        Amaranth's description of it: device, clock, pins.
    source : str
        Where the pins are from.
    loader : tuple of str
        Arguments by which openFPGALoader knows it; none if it does not list the device.
    """

    name: str
    title: str
    platform: type[Platform]
    source: str
    loader: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ecp5Board(Board):
    """A board whose device is routed by nextpnr-ecp5; the unit is behind a serial line.

    Attributes
    ----------
    uart : str
        Resource of the serial line to the host.
    leds : str
        Resource of two LEDs at least.
    baud : int
        Bits per second of the line.
    high : tuple of (str, str)
        Resources and their signals that are driven high.
    """

    uart: str = "uart"
    leds: str = "led"
    baud: int = 1_000_000
    high: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ZynqBoard(Board):
    """A board with a Zynq-7000; the unit is behind the processor's buses, its only pins are LEDs.

    Attributes
    ----------
    part : str
        Device, package and speed as Vivado names them.
    idcode : int
        JTAG identification, without its revision.
    fclk : float
        Frequency of FCLK0 in Hz, which the boot loader sets.
    free_vivado : bool
        Whether the free edition of Vivado lists the device.
    open_route : bool
        Whether openXC7 has the device's grid.
    leds : tuple of (str, int)
        Resources of two LEDs, lit by a high level: the first blinks, the second shows the unit's
        ``error``. None where the device's pins are not known.
    adapter : str
        OpenOCD's configuration of the JTAG adapter, where openFPGALoader does not do.
    """

    part: str
    idcode: int
    fclk: float = 100e6
    free_vivado: bool
    open_route: bool
    leds: tuple[tuple[str, int], ...] = ()
    adapter: str = "interface/ftdi/digilent_jtag_smt2.cfg"
