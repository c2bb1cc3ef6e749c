"""FIFOs behind pipelines that never stall: no ready, whoever fills one bounds what is in flight."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import ram
from .credit import Credit

__all__ = ["Fifo", "FifoStorage"]


class FifoStorage(wiring.Component):
    """FIFO in LUT RAM without valid: its user knows when an entry is there, and pops it only then.

    Latency from ``push`` to the entry on ``o``: 1 cycle; with ``bypass`` 0, if no entry is before
    it. Throughput one entry per cycle. A push into a full FIFO overwrites the oldest entry, a pop
    of an empty one breaks the order. Empty after reset.

    Parameters
    ----------
    width : int
        Width of an entry.
    depth : int
        Number of entries, a power of two.
    bypass : bool
        Whether an entry can be popped in the cycle in which it is pushed.

    Members
    -------
    i : In(width)
        Entry to push.
    push : In(1)
        ``i`` enters.
    o : Out(width)
        Oldest entry; undefined without one.
    pop : In(1)
        ``o`` leaves.
    """

    def __init__(self, width, depth, *, bypass=False):
        if depth & (depth - 1) or depth < 2:
            raise ValueError(f"Depth must be a power of two of at least 2, not {depth!r}")
        self.width = width
        self.depth = depth
        self.bypass = bypass
        super().__init__({"i": In(width), "push": In(1), "o": Out(width), "pop": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = ram(self.width, self.depth, "distributed")
        write = entries.write_port()
        read = entries.read_port(domain="comb")
        # With a bypass, one bit more than an address: a full FIFO differs from an empty one.
        tail = Signal(range(self.depth << self.bypass))
        head = Signal.like(tail)
        m.d.comb += [
            write.addr.eq(tail), write.data.eq(self.i), write.en.eq(self.push),
            read.addr.eq(head), self.o.eq(read.data),
        ]
        if self.bypass:
            m.d.comb += self.o.eq(Mux(head == tail, self.i, read.data))
        m.d.sync += [tail.eq(tail + self.push), head.eq(head + self.pop)]
        return m


class Fifo(wiring.Component):
    """FIFO whose output is a stream.

    Latency from ``push`` to the entry on ``o``: :attr:`latency` cycles. Throughput one entry per
    cycle, in and out. Valid and payload come from registers or LUT RAM and do not depend on ready.
    Must not be pushed while ``depth`` entries are in it. Empty after reset.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an entry.
    depth : int
        Entries that it must hold; rounded up to a power of two.
    memory : "distributed", "auto" or "block"
        "distributed": LUT RAM, read in the cycle in which an entry leaves. Otherwise a memory that
        is read into a short FIFO ahead of the output: block RAM, or "auto" by size.

    Members
    -------
    i : In(shape)
        Entry to push.
    push : In(1)
        ``i`` enters.
    o : Out(stream.Signature(shape))
        Oldest entry.
    """

    #: Entries that leave a block RAM before the first of them makes room again.
    AHEAD = 4

    def __init__(self, shape, depth, *, memory="distributed"):
        self.shape = shape
        self.depth = 1 << max((depth - 1).bit_length(), 1)
        self.memory = memory
        super().__init__({"i": In(shape), "push": In(1), "o": Out(stream.Signature(shape))})

    @staticmethod
    def latency_of(memory):
        """Latency with this kind of memory, in cycles."""
        return 1 if memory == "distributed" else 3

    @property
    def latency(self):
        """Cycles from ``push`` to the entry on ``o``."""
        return self.latency_of(self.memory)

    def elaborate(self, platform):
        m = Module()
        if self.memory == "distributed":
            self._direct(m)
        else:
            self._ahead(m)
        return m

    def _direct(self, m):
        """Storage with a count of its entries."""
        m.submodules.entries = entries = FifoStorage(Shape.cast(self.shape).width, self.depth)
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

    def _ahead(self, m):
        """Memory with a synchronous read port, and a short FIFO that it is read into."""
        m.submodules.entries = entries = ram(Shape.cast(self.shape).width, self.depth, self.memory)
        m.submodules.ahead = ahead = Fifo(self.shape, self.AHEAD)
        write, read = entries.write_port(), entries.read_port()
        # One bit more than an address: a full memory differs from an empty one.
        tail = Signal(range(2 * self.depth))
        head = Signal(range(2 * self.depth))
        m.submodules.credit = credit = Credit(self.AHEAD)
        issue = Signal()
        m.d.comb += [
            write.addr.eq(tail), write.data.eq(self.i), write.en.eq(self.push),
            read.addr.eq(head), issue.eq((head != tail) & credit.available),
            ahead.i.eq(read.data), credit.issue.eq(issue),
            credit.done.eq(self.o.valid & self.o.ready),
        ]
        wiring.connect(m, ahead.o, wiring.flipped(self.o))
        m.d.sync += [tail.eq(tail + self.push), head.eq(head + issue), ahead.push.eq(issue)]
