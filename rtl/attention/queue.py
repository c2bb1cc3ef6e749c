"""Queue that a pipeline which never stalls ends in."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..row_queue import RowQueue


__all__ = ["PipelineQueue"]


class PipelineQueue(wiring.Component):
    """Queue in LUT RAM behind a pipeline of fixed latency.

    It has no ready: whoever fills it must not have more on the way than it has room for. What is
    pushed can leave a cycle later.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an entry.
    depth : int
        Entries that it must hold; rounded up to a power of two.

    Members
    -------
    i : In(shape)
    push : In(1)
    o : Out(stream.Signature(shape))
    """

    def __init__(self, shape, depth):
        self.shape = shape
        self.depth = 1 << max((depth - 1).bit_length(), 1)
        super().__init__({"i": In(shape), "push": In(1), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = RowQueue(len(self.i.as_value()), self.depth)
        pop = Signal()
        level = Signal(range(self.depth + 1))
        m.d.comb += [
            entries.i.eq(self.i), entries.push.eq(self.push), entries.pop.eq(pop),
            self.o.payload.eq(entries.o), pop.eq(self.o.valid & self.o.ready),
        ]
        with m.If(self.push & ~pop):
            m.d.sync += [level.eq(level + 1), self.o.valid.eq(1)]
        with m.Elif(pop & ~self.push):
            m.d.sync += [level.eq(level - 1), self.o.valid.eq(level != 1)]
        return m
