"""A unit with registers behind a serial line."""

from amaranth import Cat, ClockSignal, Const, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl.config import ConfigError

from .link import SerialLink
from .protocol import MOST_BEAT, beat_bytes

__all__ = ["SIGNALS", "SerialUnit"]

#: Signals of a stream that make its beat, those that it has, from the lowest bits on.
SIGNALS = ("tdata", "tkeep", "tuser", "tlast")


class SerialUnit(wiring.Component):
    """Registers and streams of a unit, reached by the frames of :mod:`boards.serial.protocol`.

    Parameters
    ----------
    unit : ControlledUnit
        The unit with registers.
    module : Component
        Instance of its emitted module.
    divisor : int
        Clock cycles of a bit on the line.

    Raises
    ------
    ConfigError
        If a beat of an input is longer than a request.

    Members
    -------
    rx : In(1)
        Line from the host, high when idle; from another clock domain.
    tx : Out(1)
        Line to the host, high when idle.
    irq : Out(1)
        The unit's interrupt.
    error : Out(1)
        The unit's ``error``.
    """

    def __init__(self, unit, module, divisor):
        self._unit, self._module = unit, module
        widths = {flow: {name: sum(len(part) for part in self._beat(name))
                         for name, each in unit.shell.flows.items() if each is flow}
                  for flow in (In, Out)}
        for name, bits in widths[In].items():
            if beat_bytes(bits) > MOST_BEAT:
                raise ConfigError(f"Beat of {name} must have at most {MOST_BEAT} bytes on a serial "
                                  f"line, not {beat_bytes(bits)}: take fewer lanes")
        self._link = SerialLink(divisor, unit.registers.address_bits, widths[In], widths[Out])
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "irq": Out(1),
                          "error": Out(1)})

    def _beat(self, stream):
        """Signals that make a beat of a stream."""
        bus = self._unit.buses[stream]
        return [getattr(self._module, f"{bus}_{name}") for name in SIGNALS
                if f"{bus}_{name}" in self._unit.signature.members]

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = self._link
        m.submodules.unit = unit = self._module
        m.d.comb += [
            link.rx.eq(self.rx), self.tx.eq(link.tx),
            self.irq.eq(unit.irq), self.error.eq(unit.error),
            unit.aclk.eq(ClockSignal()), unit.aresetn.eq(~ResetSignal() & ~link.reset),
            unit.s_axi_wstrb.eq(Const(-1, 4)),
        ]
        for name in link.bus:
            inner, outer = getattr(link, name), getattr(unit, f"s_{name}")
            flow = link.signature.members[name].flow
            m.d.comb += inner.eq(outer) if flow is In else outer.eq(inner)
        for name, flow in self._unit.shell.flows.items():
            bus, beat = self._unit.buses[name], Cat(*self._beat(name))
            valid, ready = getattr(unit, f"{bus}_tvalid"), getattr(unit, f"{bus}_tready")
            if flow is In:
                end = getattr(link, f"i_{name}")
                m.d.comb += [beat.eq(end.payload), valid.eq(end.valid), end.ready.eq(ready)]
            else:
                end = getattr(link, f"o_{name}")
                m.d.comb += [end.payload.eq(beat), end.valid.eq(valid), ready.eq(end.ready)]
        return m
