"""A register map behind AXI4-Lite."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .axi_lite import AxiLite
from .register_file import RegisterFile

__all__ = ["RegisterSlave"]


class RegisterSlave(wiring.Component):
    """AXI4-Lite slave of a register map: the bus, and the fields as ports.

    Timing of the bus as :class:`~rtl.bus.axi_lite.AxiLite`.

    Parameters
    ----------
    registers : RegisterMap
        Registers.

    Members
    -------
    <signal> : In(width) or Out(width)
        Bus of :class:`~rtl.bus.axi_lite.AxiLite`.
    <register>_<field> : In(width) or Out(width)
        Fields of :class:`~rtl.bus.register_file.RegisterFile`, with their pulses.
    """

    def __init__(self, registers):
        self._bus, self._file = AxiLite(registers.address_bits), RegisterFile(registers)
        bus, file = self._bus.signature.members, self._file.signature.members
        self._inner = [name for name in bus if name in file]
        #: Names of the signals of the bus.
        self.signals = [name for name in bus if name not in file]
        #: Names of the ports of the fields.
        self.fields = [name for name in file if name not in bus]
        super().__init__({**{name: bus[name] for name in self.signals},
                          **{name: file[name] for name in self.fields}})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bus, m.submodules.file = bus, file = self._bus, self._file
        for name in self._inner:
            source, sink = (file, bus) if bus.signature.members[name].flow is In else (bus, file)
            m.d.comb += getattr(sink, name).eq(getattr(source, name))
        for part, names in (bus, self.signals), (file, self.fields):
            for name in names:
                inner, outer = getattr(part, name), getattr(self, name)
                flow = self.signature.members[name].flow
                m.d.comb += inner.eq(outer) if flow is In else outer.eq(inner)
        return m
