"""Files of a unit's Zynq-7000 top."""

from __future__ import annotations

import hashlib
import json
import pathlib

from rtl import UnitConfig
from rtl.emit import files, verilog
from rtl.emit.header import LICENSE, tools

from .ps7 import Ps7
from .top import BASE, ClockBuffer, ZynqTop

__all__ = ["DRIVERS", "sources", "top", "zynq_files", "zynq_verilog"]

#: Headers of the driver in C.
DRIVERS = ("transformer_rtl.h", "transformer_rtl_attention.h", "transformer_rtl_sets.h",
           "transformer_rtl_svd.h", "transformer_rtl_uio.h")

# A cell without a reader in the logic is not to be removed; its name is for constraints.
_CELL = "  PS7 ps7 ("


def top(config: UnitConfig) -> str:
    """Name of the top module, which has no ports."""
    return f"{config.name}_zynq"


def sources(config: UnitConfig) -> list[str]:
    """Names of the Verilog files, in the order in which tools are to read them."""
    return [*files.sources(config, "axi-dma"), f"{top(config)}.v"]


def zynq_verilog(config: UnitConfig, user: str = "constant", leds: bool = False) -> str:
    """Verilog text of the top, around the modules of the other files; with LEDs or without.

    Raises
    ------
    YosysError
        If Yosys refuses the design.
    """
    unit = verilog.dma_of(config, user)
    name = files.top(config, "axi-dma")
    zynq = ZynqTop(unit, verilog.BlackBox(unit, name, clocked=False), leds)
    text = verilog.of_components({top(config): zynq}, header=_header(config, leds),
                                 others={name: unit, "PS7": Ps7(), "BUFG": ClockBuffer()})
    before, cell, after = text.partition(_CELL)
    if not cell:
        raise AssertionError("no cell ps7 in the emitted top")
    return f'{before}  (* DONT_TOUCH = "true" *)\n{cell}{after}'


def zynq_files(config: UnitConfig, *, user: str = "constant",
               leds: bool = False) -> dict[str, str]:
    """Texts of the unit's files, of its Zynq top and of its driver in C, by name.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    user : str
        Where TUSER comes from: one of :data:`rtl.bus.dma_unit.USERS`.
    leds : bool
        Whether the top has LEDs, as :class:`~boards.zynq7.top.ZynqTop` says.
    """
    found = files.unit_files(config, "axi-dma", user)
    values = json.loads(found.pop("manifest.json"))
    found[f"{top(config)}.v"] = zynq_verilog(config, user, leds)
    found[f"{top(config)}.f"] = "".join(f"{name}\n" for name in sources(config))
    folder = pathlib.Path(__file__).parents[1] / "driver"
    found |= {name: (folder / name).read_text(encoding="utf-8") for name in DRIVERS}
    values["zynq7"] = {"top": top(config), "registers": BASE, "sources": sources(config)}
    values["files"] = {name: {"sha256": hashlib.sha256(text.encode()).hexdigest()}
                       for name, text in sorted(found.items())}
    found["manifest.json"] = json.dumps(values, indent=2) + "\n"
    return found


def _header(config: UnitConfig, leds: bool) -> str:
    ports = "with two LEDs: clock, error" if leds else "without ports"
    versions = ", ".join(f"{name} {version}" for name, version in tools().items())
    return f"""\
// SPDX-License-Identifier: {LICENSE}
//
//   {top(config)}: {config.UNIT} on a Zynq-7000, {ports}
//
// Configuration {config.hash}, {versions}
//
// Registers at 0x{BASE:08x} (GP0), memory by HP0, interrupt IRQF2P[0], clock FCLKCLK[0].
// {config.name}_registers.md has the registers. Constrain the clock at pin FCLKCLK[0] of cell ps7.

"""
