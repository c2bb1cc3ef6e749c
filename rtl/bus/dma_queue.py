"""Descriptors that wait for a DMA, and the count of those that are done."""

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo
from .dma_bursts import Descriptor
from .dma_registers import QUEUE
from .registers import WORD

__all__ = ["DmaQueue"]


class DmaQueue(wiring.Component):
    """Queue between the registers of a channel and its DMA.

    Latency 1 cycle from ``start`` to the descriptor at ``o``. Up to 4 descriptors wait; one that is
    started while the queue is full is lost.

    Members
    -------
    i : In(Descriptor())
        Descriptor in the registers.
    start : In(1)
        It enters the queue.
    full : Out(1)
        There is no room.
    overrun : Out(1)
        Pulses when a descriptor is lost.
    abort : In(1)
        Empty the queue.
    o : Out(stream.Signature(Descriptor()))
        Oldest descriptor.
    busy : Out(1)
        A descriptor waits.
    done : In(range(3))
        Descriptors that are done in this cycle.
    clear : In(1)
        Set the count to 0.
    count : Out(32)
        Descriptors done, modulo 2**32.
    """

    i: In(Descriptor())
    start: In(1)
    full: Out(1)
    overrun: Out(1)
    abort: In(1)
    o: Out(stream.Signature(Descriptor()))
    busy: Out(1)
    done: In(range(3))
    clear: In(1)
    count: Out(WORD)

    def elaborate(self, platform):
        m = Module()
        entries = Fifo(Descriptor(), QUEUE)
        m.submodules.entries = ResetInserter(self.abort)(entries)
        level = Signal(range(QUEUE + 1))
        left = Signal()
        m.d.comb += [
            self.full.eq(level == QUEUE), self.busy.eq(level != 0),
            self.overrun.eq(self.start & self.full), entries.i.eq(self.i),
            entries.push.eq(self.start & ~self.full & ~self.abort),
            left.eq(self.o.valid & self.o.ready),
        ]
        wiring.connect(m, entries.o, wiring.flipped(self.o))
        m.d.sync += [level.eq(level + entries.push - left), self.count.eq(self.count + self.done)]
        with m.If(self.abort):
            m.d.sync += level.eq(0)
        with m.If(self.clear):
            m.d.sync += self.count.eq(0)
        return m
