"""Queue of what is known of a row once it is over, read by the first beat that leaves."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowQueue"]


class RowQueue(wiring.Component):
    """First-in first-out queue, in LUT RAM.

    The head is on ``o`` a cycle after it was pushed; with ``bypass``, in the same cycle, if nothing
    waits before it. The queue does not defend itself: it must not be popped while nothing is on
    ``o``, and whoever fills it must bound the rows in flight.

    Parameters
    ----------
    width : int
        Width of an entry.
    depth : int
        Number of entries, a power of two.
    bypass : bool
        Whether an entry can leave in the cycle in which it comes.

    Members
    -------
    i : In(width)
    push : In(1)
    o : Out(width)
    pop : In(1)
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
        m.submodules.entries = entries = memory.Memory(
            shape=self.width, depth=self.depth, init=[], attrs={"ram_style": "distributed"})
        write = entries.write_port()
        read = entries.read_port(domain="comb")
        # With a bypass, one bit more than an address: a full queue differs from an empty one.
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
