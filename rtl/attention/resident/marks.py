"""Marks of the rows of outputs: one bit a row, from where it is known to where the row leaves."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...stream.credit import Credit
from ...stream.fifo import FifoStorage

__all__ = ["MarkedOutput"]


class MarkedOutput(wiring.Component):
    """Adds the mark of its row to each beat of outputs; bounds the rows on their way.

    Latency 0, throughput one beat per cycle. Empty after reset.

    Parameters
    ----------
    plain : VectorLayout
        Layout of a beat of outputs.
    marked : VectorLayout
        The same with ``use``, the mark.
    beats : int
        Beats of a row.
    depth : int
        Rows on their way, a power of two.

    Members
    -------
    start : In(1)
        A row starts. Only while ``may_start``.
    mark : In(1)
        Its mark.
    may_start : Out(1)
        A row may start. From a register.
    i : In(stream.Signature(plain))
        Outputs.
    o : Out(stream.Signature(marked))
        The same with marks.
    """

    def __init__(self, plain, marked, beats, depth=64):
        self.beats = beats
        self.depth = depth
        super().__init__({"start": In(1), "mark": In(1), "may_start": Out(1),
                          "i": In(stream.Signature(plain)), "o": Out(stream.Signature(marked))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.marks = marks = FifoStorage(1, self.depth)
        m.submodules.credit = credit = Credit(self.depth)
        left, transfer, ends = Signal(range(self.beats)), Signal(), Signal()
        beat = self.i.payload
        m.d.comb += [
            marks.i.eq(self.mark), marks.push.eq(self.start), marks.pop.eq(ends),
            credit.issue.eq(self.start), credit.done.eq(ends),
            self.may_start.eq(credit.available),
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready),
            self.o.payload.data.eq(beat.data), self.o.payload.last.eq(beat.last),
            self.o.payload.use.eq(marks.o),
            transfer.eq(self.i.valid & self.o.ready), ends.eq(transfer & (left == self.beats - 1)),
        ]
        with m.If(transfer):
            m.d.sync += left.eq(Mux(ends, 0, left + 1))
        return m
