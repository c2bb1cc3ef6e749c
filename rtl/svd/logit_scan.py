"""Reads a memory from its first word on, as a stream."""

from amaranth import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.credit import Credit
from ..stream.fifo import Fifo

__all__ = ["LogitScan"]


class LogitScan(wiring.Component):
    """Words 0 to ``count - 1`` of a memory with a latency of two cycles, as a stream.

    Throughput one word per cycle. A scan must not start before the one before is taken.

    Parameters
    ----------
    width : int
        Width of a word.
    depth : int
        Words of the memory.

    Members
    -------
    start : In(1)
        Start to read.
    count : In(range(depth + 1))
        Words to read; held during the scan.
    read : Out(range(depth))
        Word to read.
    data : In(width)
        That word, two cycles later.
    o : Out(stream.Signature(width))
        Words in their order.
    place : Out(range(depth + 1))
        Number of the word on ``o``.
    """

    #: Words on their way.
    AHEAD = 8

    def __init__(self, width, depth):
        self.width, self.depth = width, depth
        super().__init__({
            "start": In(1), "count": In(range(depth + 1)), "read": Out(range(depth)),
            "data": In(width), "o": Out(stream.Signature(unsigned(width))),
            "place": Out(range(depth + 1))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ahead = ahead = Fifo(unsigned(self.width), self.AHEAD)
        m.submodules.credit = credit = Credit(self.AHEAD)
        address = Signal(range(self.depth + 1))
        issue = Signal()
        issued = Signal()
        taken = Signal()
        running = Signal()
        m.d.comb += [
            issue.eq(running & credit.available), self.read.eq(address),
            taken.eq(self.o.valid & self.o.ready),
            credit.issue.eq(issue), credit.done.eq(taken), ahead.i.eq(self.data),
        ]
        wiring.connect(m, ahead.o, wiring.flipped(self.o))
        m.d.sync += [issued.eq(issue), ahead.push.eq(issued), address.eq(address + issue),
                     self.place.eq(self.place + taken)]
        with m.If(issue & (address == self.count - 1)):
            m.d.sync += running.eq(0)
        with m.If(self.start):
            m.d.sync += [address.eq(0), self.place.eq(0), running.eq(1)]
        return m
