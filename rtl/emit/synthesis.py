"""Area and delay of an emitted module, from Yosys.

The figures compare configurations with each other, and with other designs put through the same
flow. They are not those of a vendor's tool, and the delay is logic only: no wire has any.

What the flow for ``xc7`` does and does not see (read from its cell library, and tried):

* A LUT costs 127..642 ps by its input, a register 303 ps from clock to output. Setup is part of a
  path where the library gives one above zero: none at the data pin of a flip-flop, 109 ps at its
  enable, 404 ps at its reset, 566 ps at a block RAM's address.
* A block RAM takes 2454 ps from clock to output, without its output register. The library binds
  that arc and the one with the register (882 ps) to conditions on ``DOA_REG`` that are both false
  where the register is not used, but ``sta`` looks at no condition of a clock-to-output arc and
  takes the longest. As the flow never uses the register, the figure is that of what is built.
* A DSP48E1 is crossed from its operands if it holds no register (2823 ps for a product). A path
  that it holds a register of ends and starts there: 329 ps from the output register, 1671 ps from
  the product's, 2952 ps from the operands'.
* Inputs arrive at time 0 and outputs are endpoints: a path from port to port counts.
* An unused carry output can be the endpoint of the longest path. It is reported as it is.
"""

import dataclasses
import json
import re

from . import yosys

__all__ = ["FAMILIES", "Family", "Figures", "SynthesisError", "measure", "netlist"]


class SynthesisError(Exception):
    """A module that the figures can not be told of."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a module costs, and how fast its logic is."""

    #: Look-up tables taken: as logic, as inverters, as memory, as shift registers.
    lut: int
    #: Flip-flops.
    ff: int
    #: Carry chains of four bits.
    carry4: int
    #: Multiplexers behind the look-up tables.
    muxf: int
    #: DSP blocks.
    dsp: int
    #: Block RAMs of 36 Kib; one of 18 Kib is half of one.
    bram: float
    #: Longest path in picoseconds, logic only.
    delay_ps: int
    #: The longest path, cell by cell from its end to its start.
    path: str = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Family:
    """How to synthesise for a family of devices, and what its cells count as.

    ``cells`` gives, for each area figure, how many units of it each cell takes.
    """

    synthesis: str
    library: str
    cells: dict


FAMILIES = {
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
        }),
}


def measure(verilog, top, *, family="xc7"):
    """Synthesise the module ``top`` of a Verilog text and count what it takes.

    Runs for seconds, in a child process; calls from several threads run side by side.

    Raises
    ------
    SynthesisError
        If the netlist has a cell that the family's table does not weigh.
    YosysError
        If Yosys does not take the text.
    """
    flow = FAMILIES[family]
    written = yosys.run(["read_verilog design.v", flow.synthesis.format(top=top),
                         "tee -q -o stat.json stat -json",
                         f"read_verilog -lib -specify {flow.library}",
                         "tee -q -o sta.txt sta"], {"design.v": verilog})
    cells = json.loads(written["stat.json"])["design"]["num_cells_by_type"]
    return Figures(**_area(cells, flow.cells), **_delay(written["sta.txt"]))


def netlist(verilog, top, *, family="xc7", block_ram=True):
    """Synthesise the module ``top`` of a Verilog text into a netlist of the family's cells.

    Without ``block_ram`` memories of all sizes are made of other cells: Yosys's models of cells say
    nothing of what a block RAM does.

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


def _area(cells, table):
    weights = {cell: (figure, weight) for figure, row in table.items()
               for cell, weight in row.items()}
    area = dict.fromkeys(table, 0)
    for cell, count in cells.items():
        # A note on the hierarchy that was flattened, no hardware.
        if cell == "$scopeinfo":
            continue
        if cell not in weights:
            raise SynthesisError(f"Netlist must be made of weighed cells, not of {cell!r}")
        figure, weight = weights[cell]
        area[figure] += weight * count
    return area


def _delay(report):
    """Delay and path of what ``sta`` printed: a heading, the path, an empty line, a histogram."""
    match = re.search(r"^Latest arrival time in '.*' is (\d+):\n(.*?)(?:\n\n|\Z)", report,
                      re.MULTILINE | re.DOTALL)
    if match is None:
        return {"delay_ps": 0, "path": ""}
    return {"delay_ps": int(match[1]), "path": match[2].rstrip()}
