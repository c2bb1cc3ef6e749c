"""The processing system of a Zynq-7000 as a component, from Yosys' library of Xilinx' cells."""

from __future__ import annotations

import functools
import re

from amaranth import Instance
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.emit import yosys

__all__ = ["LIBRARY", "Ps7", "ps7_ports"]

#: File that declares the cell.
LIBRARY = "+/xilinx/cells_xtra.v"

_PORT = re.compile(r"^\s*(input|output|inout) (?:\[(\d+):0\] )?(\w+);", re.MULTILINE)


@functools.cache
def ps7_ports() -> dict[str, tuple[str, int]]:
    """Direction ("input", "output" or "inout") and width of each port of the cell ``PS7``."""
    text = re.search(r"(?ms)^module PS7\b.*?^endmodule", yosys.shared(LIBRARY))
    if text is None:
        raise yosys.YosysError(f"Cell PS7 is not in {LIBRARY} of this Yosys")
    return {name: (direction, int(high or 0) + 1)
            for direction, high, name in _PORT.findall(text[0])}


class Ps7(wiring.Component):
    """The cell ``PS7``. Inputs that nobody drives are 0.

    Its pins (DDR, MIO, clock and reset) have places of their own on the device and are not
    connected in the programmable logic.

    Members
    -------
    <port> : In(width) or Out(width)
        Ports of the cell, of :func:`ps7_ports`, but for those that are pins.
    """

    def __init__(self) -> None:
        super().__init__({name: {"input": In, "output": Out}[direction](width)
                          for name, (direction, width) in ps7_ports().items()
                          if direction != "inout"})

    def elaborate(self, platform):
        return Instance("PS7", **{f"{'i' if member.flow is In else 'o'}_{name}": getattr(self, name)
                                  for name, member in self.signature.members.items()})
