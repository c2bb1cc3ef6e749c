"""Verilog of a unit behind a serial line."""

from __future__ import annotations

from rtl.config import UnitConfig
from rtl.emit import files, verilog

from .serial_unit import SerialUnit

__all__ = ["serial_files", "sources", "top"]

HEADER = """\
// SPDX-License-Identifier: MIT
//
// {name}_axil behind a serial line: 8N1, {divisor} clock cycles a bit.
//
// clk, rst : clock; synchronous reset, active high
// rx, tx   : lines from and to the host, high when idle
// irq      : interrupt of the unit, active high
// error    : sticky: a row was too long, or malformed
//
// docs/boards.md has the frames. Reads with {name}.v and {name}_axil.v.

"""


def top(config: UnitConfig) -> str:
    """Name of the module."""
    return f"{config.name}_serial"


def sources(config: UnitConfig) -> list[str]:
    """Names of the Verilog files, in the order in which tools are to read them."""
    return [*files.sources(config, "axi-lite"), f"{top(config)}.v"]


def serial_files(config: UnitConfig, divisor: int) -> dict[str, str]:
    """Texts of a unit's files with registers, by name, and of ``<name>_serial.v``.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    divisor : int
        Clock cycles of a bit on the line.
    """
    return {**files.unit_files(config, "axi-lite"),
            f"{top(config)}.v": of_serial(config, divisor)}


def of_serial(config: UnitConfig, divisor: int) -> str:
    """Verilog text of ``<name>_serial``, around the module of ``<name>_axil.v``."""
    control = verilog.control_of(config)
    module = f"{config.name}_axil"
    unit = SerialUnit(control, verilog.BlackBox(control, module, clocked=False), divisor)
    return verilog.of_components({top(config): unit}, others={module: control},
                                 header=HEADER.format(name=config.name, divisor=divisor))
