"""Area and delay of an emitted module, from Yosys.

The figures compare configurations with each other, and with other designs through the same flow.
They are not those of a vendor's tool, and the delay is that of logic alone, without wires.

What the flow for ``xc7`` covers (from its cell library, confirmed by experiment):

* A LUT takes 127..642 ps, depending on the input, a register 303 ps from clock to output. Setup
  times: 0 at a flip-flop's data pin, 109 ps at its enable, 404 ps at its reset, 566 ps at a block
  RAM's address.
* A block RAM takes 2454 ps from clock to output, without its output register. The library guards
  that arc and the one with the register (882 ps) by conditions on ``DOA_REG`` that are both false
  without the register, but ``sta`` ignores conditions of clock-to-output arcs and takes the
  longest. The flow never uses the register, so the figure is right.
* A DSP48E1 without registers is combinational (2823 ps for a product). With registers, a path ends
  and starts there: 329 ps from the output register, 1671 ps from the product's, 2952 ps from the
  operands'.
* Inputs arrive at time 0 and outputs are endpoints: a path from port to port counts.
* Paths from and to a Zynq's processor are not counted: its cell has no delays.
* An unused carry output can be the endpoint of the longest path.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping

from . import yosys
from .cleared import first_cleared

__all__ = ["FAMILIES", "Family", "Figures", "SynthesisError", "measure", "netlist"]


class SynthesisError(Exception):
    """A netlist with cells of unknown area."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """Area and logic delay of a module."""

    #: Look-up tables: logic, inverters, LUT RAM and shift registers.
    lut: int
    #: Flip-flops.
    ff: int
    #: Carry chains of four bits.
    carry4: int
    #: Multiplexers MUXF7 and MUXF8.
    muxf: int
    #: DSP blocks.
    dsp: int
    #: Block RAMs of 36 Kib; one of 18 Kib counts as 0.5.
    bram: float
    #: Longest path in picoseconds, logic only.
    delay_ps: int
    #: The longest path, cell by cell from its end to its start.
    path: str = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Family:
    """How to synthesise for a family of devices, and the area of its cells.

    Attributes
    ----------
    synthesis : str
        Yosys command, with a place ``{top}`` for the module's name.
    library : str
        File of cell models that comes with Yosys.
    cells : dict of str to dict of str to float
        For each area figure, the units of it that each cell takes.
    hard : tuple of str
        Cells that a device has outside its logic, whatever the design: no area.
    """

    synthesis: str
    library: str
    cells: Mapping[str, Mapping[str, float]]
    hard: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "xc7": Family(
        synthesis="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}",
        library="+/xilinx/cells_sim.v",
        cells={
            "lut": {
                "LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "LUT5": 1, "LUT6": 1, "INV": 1,
                "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4,
                "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4,
                "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
            },
            "ff": {"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1},
            "carry4": {"CARRY4": 1},
            "muxf": {"MUXF7": 1, "MUXF8": 1},
            "dsp": {"DSP48E1": 1},
            "bram": {"RAMB18E1": 0.5, "RAMB36E1": 1},
        },
        hard=("PS7", "BUFG")),
}


def measure(verilog: str, top: str, *, family: str = "xc7") -> Figures:
    """Synthesise the module ``top`` of a Verilog text, and measure area and delay.

    Takes seconds, in a child process, so calls from several threads run in parallel.

    Raises
    ------
    SynthesisError
        If the family's table has no weight for a cell of the netlist.
    YosysError
        If Yosys refuses the text.
    """
    flow = FAMILIES[family]
    hard = [f"t:{cell}" for cell in flow.hard if re.search(rf"\b{cell}\b", verilog)]
    # A path begins at a port: what such cells drive, the clock too, becomes some.
    expose = [f"expose -evert {' '.join(hard)}"] if hard else []
    written = yosys.run(["read_verilog design.v", flow.synthesis.format(top=top),
                         "tee -q -o stat.json stat -json", *expose,
                         f"read_verilog -lib -specify {flow.library}",
                         "tee -q -o sta.txt sta"], {"design.v": first_cleared(verilog)})
    cells = json.loads(written["stat.json"])["design"]["num_cells_by_type"]
    soft = {cell: count for cell, count in cells.items() if cell not in flow.hard}
    return Figures(**_area(soft, flow.cells), **_delay(written["sta.txt"]))


def netlist(verilog: str, top: str, *, family: str = "xc7",
            block_ram: bool = True) -> dict[str, str]:
    """Synthesise the module ``top`` of a Verilog text into a netlist of the family's cells.

    Without ``block_ram`` every memory maps to other cells: Yosys's models of block RAMs have no
    behaviour to simulate.

    Returns
    -------
    dict of str to str
        Verilog texts: the netlist (``"netlist.v"``) and models of its cells (``"cells.v"``).
    """
    flow = FAMILIES[family]
    synthesis = [flow.synthesis.format(top=top)]
    if not block_ram:
        synthesis = ["setattr -unset ram_style m:*", f"{synthesis[0]} -nobram"]
    written = yosys.run(["read_verilog design.v", *synthesis, "write_verilog -noattr netlist.v"],
                        {"design.v": verilog})
    return {"netlist.v": written["netlist.v"], "cells.v": yosys.shared(flow.library)}


def _area(cells: Mapping[str, int],
          table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    weights = {cell: (figure, weight) for figure, row in table.items()
               for cell, weight in row.items()}
    area = dict.fromkeys(table, 0)
    for cell, count in cells.items():
        # A record of the flattened hierarchy, no hardware.
        if cell == "$scopeinfo":
            continue
        if cell not in weights:
            raise SynthesisError(f"Netlist must be made of weighed cells, not of {cell!r}")
        figure, weight = weights[cell]
        area[figure] += weight * count
    return area


def _delay(report: str) -> dict[str, int | str]:
    """Delay and path from what ``sta`` printed: a heading, the path, an empty line, a histogram."""
    match = re.search(r"^Latest arrival time in '.*' is (\d+):\n(.*?)(?:\n\n|\Z)", report,
                      re.MULTILINE | re.DOTALL)
    if match is None:
        return {"delay_ps": 0, "path": ""}
    return {"delay_ps": int(match[1]), "path": match[2].rstrip()}
