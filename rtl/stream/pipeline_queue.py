"""Queues that a pipeline which never stalls ends in."""

from amaranth import Module, Shape, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .row_queue import RowQueue
from .row_store import BLOCK_BITS

__all__ = ["PipelineQueue", "StoredQueue"]


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
        m.submodules.entries = entries = RowQueue(Shape.cast(self.shape).width, self.depth)
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


class StoredQueue(wiring.Component):
    """As :class:`PipelineQueue`, for many entries: in a memory that is read into a short queue.

    What is pushed can leave :attr:`LATENCY` cycles later. Throughput one entry per cycle.
    """

    LATENCY = 3
    # As many entries as leave the memory before the first of them makes room again.
    AHEAD = 4

    def __init__(self, shape, depth):
        self.shape = shape
        self.depth = 1 << max((depth - 1).bit_length(), 1)
        super().__init__({"i": In(shape), "push": In(1), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.shape).width
        m.submodules.entries = entries = memory.Memory(
            shape=width, depth=self.depth, init=[], attrs={
                "ram_style": "block" if self.depth * width > BLOCK_BITS else "distributed"})
        m.submodules.ahead = ahead = PipelineQueue(self.shape, self.AHEAD)
        write, read = entries.write_port(), entries.read_port()
        # One bit more than an address: a full memory differs from an empty one.
        tail, head = Signal(range(2 * self.depth)), Signal(range(2 * self.depth))
        room = Signal(range(self.AHEAD + 1), init=self.AHEAD)
        issue, leaving = Signal(), Signal()
        m.d.comb += [
            write.addr.eq(tail), write.data.eq(self.i), write.en.eq(self.push),
            read.addr.eq(head), issue.eq((head != tail) & (room != 0)),
            ahead.i.eq(read.data), leaving.eq(self.o.valid & self.o.ready),
        ]
        wiring.connect(m, ahead.o, wiring.flipped(self.o))
        m.d.sync += [tail.eq(tail + self.push), head.eq(head + issue), ahead.push.eq(issue),
                     room.eq(room - issue + leaving)]
        return m
