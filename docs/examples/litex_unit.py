"""An emitted unit in LiteX: its streams as AXI4-Stream endpoints, its registers on the SoC's bus.

    python -m rtl.generate softmax-e2 --lanes 4 --control axi-lite
    python docs/examples/litex_unit.py build/softmax_e2_b8o8l4n512_plus

writes ``litex_unit.v``, the unit with everything around it. In a SoC::

    self.softmax = Unit(self.platform, "build/softmax_e2_b8o8l4n512_plus")
    self.bus.add_slave("softmax", self.softmax.registers, SoCRegion(size=0x1000, cached=False))
    self.irq.add("softmax", use_loc_if_exists=True)       # softmax.ev.unit
    self.comb += dma_reader.source.connect(self.softmax.s_axis)
"""

import json
import sys
from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.interconnect import axi
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import C, ClockSignal, Instance, ResetSignal, Signal
from migen.fhdl import verilog


class Unit(LiteXModule):
    """A unit with registers, from the folder that the generator wrote.

    Attributes: ``registers``, an AXI4-Lite interface; an AXI4-Stream interface for each bus, of the
    bus's name; ``error``, and ``causes`` where the unit has them; the interrupt as the event
    ``unit`` of ``ev``.
    """

    def __init__(self, platform, folder):
        folder = Path(folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        top = f"{manifest['name']}_axil"
        if top not in manifest["modules"]:
            raise ValueError(f"{folder} must be generated with --control axi-lite")
        ports = {port["name"]: port for port in manifest["modules"][top]}
        self.registers = axi.AXILiteInterface(data_width=32, address_width=12)
        self.error = Signal()
        self.ev = EventManager()
        self.ev.unit = EventSourceLevel()
        self.ev.finalize()

        connections = {
            "i_aclk": ClockSignal(), "i_aresetn": ~ResetSignal(), "o_error": self.error,
            "o_irq": self.ev.unit.trigger, "i_s_axi_awprot": C(0, 3), "i_s_axi_arprot": C(0, 3)}
        if "causes" in ports:
            self.causes = connections["o_causes"] = Signal(ports["causes"]["width"])
        for channel in ("aw", "w", "b", "ar", "r"):
            source = getattr(self.registers, channel)
            for signal in ("addr", "data", "strb", "resp", "valid", "ready"):
                name = f"s_axi_{channel}{signal}"
                if name in ports:
                    connections[f"{ports[name]['direction'][0]}_{name}"] = getattr(source, signal)
        for bus in sorted({name.rpartition("_")[0] for name in ports if "_axis_" in name}):
            width = {signal: ports.get(f"{bus}_t{signal}", {"width": 0})["width"]
                     for signal in ("data", "keep", "user")}
            stream = axi.AXIStreamInterface(width["data"], keep_width=width["keep"],
                                            user_width=width["user"])
            setattr(self, bus, stream)
            for signal in ("data", "keep", "user", "last", "valid", "ready"):
                name = f"{bus}_t{signal}"
                if name in ports:
                    connections[f"{ports[name]['direction'][0]}_{name}"] = getattr(stream, signal)
        self.specials += Instance(top, name="unit", **connections)
        if platform is not None:
            for file in (folder / f"{manifest['name']}.f").read_text().split():
                platform.add_source(str(folder / file))


if __name__ == "__main__":
    unit = Unit(None, sys.argv[1])
    streams = [value for name, value in vars(unit).items() if "_axis" in name]
    registers = (getattr(unit.registers, name) for name in ("aw", "w", "b", "ar", "r"))
    inside = {signal for interface in (*registers, *streams)
              for signal in interface.flatten() if len(signal)}
    Path("litex_unit.v").write_text(str(verilog.convert(unit, ios=inside | {unit.error},
                                                        name="litex_unit")))
