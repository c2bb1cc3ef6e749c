"""Top of a Zynq-7000: a unit between the processor's registers and its memory."""

from __future__ import annotations

from amaranth import Cat, ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from rtl.bus.axi_bridge import AxiBridge
from rtl.bus.dma_unit import MEMORY, DmaUnit

from .ps7 import Ps7

__all__ = ["BASE", "ClockBuffer", "ZynqTop"]

#: Physical address of the registers, at GP0.
BASE = 0x43C00000

# Bits of the counter of cycles whose highest one a LED shows: 1.5 Hz at 100 MHz.
_BLINK_BITS = 26

# What the names of the ports start with.
_HP0 = "SAXIHP0"
_GP0 = "MAXIGP0"


class ClockBuffer(wiring.Component):
    """The cell ``BUFG``, which drives the clock network.

    Members
    -------
    I : In(1)
        Clock.
    O : Out(1)
        The same.
    """

    def __init__(self) -> None:
        super().__init__({"I": In(1), "O": Out(1)})

    def elaborate(self, platform):
        return Instance("BUFG", i_I=self.I, o_O=self.O)


class ZynqTop(wiring.Component):
    """A unit with DMA, its registers at GP0, its memory behind HP0, its interrupt at IRQF2P[0].

    The clock is FCLKCLK[0] through a buffer; the reset is FCLKRESETN[0], synchronised to it. What
    sets the processor up (FSBL, U-Boot or Linux) sets its frequency, and starts it.

    Registers are at :data:`BASE`; what else of GP0 is accessed is answered DECERR. HP0 is 64 bits
    wide, and not coherent with the caches.

    Parameters
    ----------
    unit : DmaUnit
        The unit.
    module : Component
        What stands for it, if that is emitted elsewhere.
    leds : bool
        Whether there are LEDs.

    Members
    -------
    leds : Out(2)
        Bit 0 blinks while there is a clock, bit 1 is the unit's ``error``. Only with LEDs: the cell
        has pins of its own.
    """

    def __init__(self, unit: DmaUnit, module: wiring.Component | None = None,
                 leds: bool = False) -> None:
        self._unit, self._module, self._leds = unit, module or unit, leds
        super().__init__({"leds": Out(2)} if leds else {})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ps7 = ps7 = Ps7()
        m.submodules.fclk_buffer = buffer = ClockBuffer()
        m.domains.sync = ClockDomain()
        m.d.comb += [buffer.I.eq(ps7.FCLKCLK[0]), ClockSignal().eq(buffer.O)]
        m.submodules.reset = ResetSynchronizer(~ps7.FCLKRESETN[0])
        m.submodules.unit = unit = self._module
        m.d.comb += [unit.aclk.eq(ClockSignal()), unit.aresetn.eq(~ResetSignal()),
                     ps7.IRQF2P.eq(unit.irq)]
        self._registers(m, ps7, unit)
        self._memory(m, ps7, unit)
        if self._leds:
            # Out of reset, too: the clock alone counts.
            cycles = Signal(_BLINK_BITS, reset_less=True)
            m.d.sync += cycles.eq(cycles + 1)
            m.d.comb += self.leds.eq(Cat(cycles[-1], unit.error))
        return m

    def _registers(self, m, ps7, unit):
        """Connect GP0 to the registers."""
        m.submodules.bridge = bridge = AxiBridge(BASE, self._unit.registers.address_bits)
        m.d.comb += ps7.MAXIGP0ACLK.eq(ClockSignal())
        for name, member in bridge.signature.members.items():
            port = getattr(bridge, name)
            if name.startswith("m_"):
                other = getattr(unit, f"s_axi_{name.removeprefix('m_')}")
            else:
                other = getattr(ps7, _GP0 + name.upper())
            m.d.comb += port.eq(other) if member.flow is In else other.eq(port)
        m.d.comb += [unit.s_axi_awprot.eq(ps7.MAXIGP0AWPROT),
                     unit.s_axi_arprot.eq(ps7.MAXIGP0ARPROT)]

    def _memory(self, m, ps7, unit):
        """Connect the unit's master to HP0."""
        m.d.comb += ps7.SAXIHP0ACLK.eq(ClockSignal())
        for name, (flow, _, _) in MEMORY.items():
            port, other = getattr(unit, f"m_axi_{name}"), getattr(ps7, _HP0 + name.upper())
            m.d.comb += other.eq(port) if flow is Out else port.eq(other)
