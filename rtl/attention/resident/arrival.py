"""Rows of keys that wait until their vectors have come."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .positions import position_shape, reached
from .rows import RowLayout

__all__ = ["TOKEN_CYCLES", "ArrivedRows"]

#: Cycles by which an answer is later if the last key or value that it needs comes with the query.
TOKEN_CYCLES = 3


class ArrivedRows(wiring.Component):
    """Gate of the rows: one leaves once the keys and values that it needs have come.

    What has come is read a cycle ahead, for the set of the row that is due, and compared as the row
    enters; a row that has to wait is compared again in every cycle. A row whose values went before
    they had come leaves as ``failed``. Latency 1 cycle, 2 for the first row of another set, and 2
    from the last vector that a waiting row needs; throughput one row per cycle of the same set.
    Empty after reset.

    Parameters
    ----------
    regions : Regions
        Memory of the sets.

    Members
    -------
    i : In(stream.Signature(RowLayout(regions)))
        Rows.
    o : Out(stream.Signature(RowLayout(regions)))
        The same, of what is there.
    set : Out(range(sets))
        Set that is asked for. The four inputs answer in the same cycle.
    keys, values : In(position_shape(regions))
        Keys and values of that set that have come.
    left : In(position_shape(regions))
        Keys that the set has at present.
    aborted : In(1)
        Values of the set went before they had come.
    """

    def __init__(self, regions):
        self.regions = regions
        row, position = stream.Signature(RowLayout(regions)), position_shape(regions)
        super().__init__({"i": In(row), "o": Out(row), "set": Out(range(regions.sets)),
                          "keys": In(position), "values": In(position), "left": In(position),
                          "aborted": In(1)})

    def elaborate(self, platform):
        m = Module()
        coming, row, full = self.i.payload, Signal(RowLayout(self.regions)), Signal()
        accept, arrived, lost = Signal(), Signal(), Signal()
        waits = full & ~arrived
        m.d.comb += self.set.eq(Mux(waits, row.set, coming.set))
        of, end = Signal.like(self.set), Signal.like(row.end)
        m.d.sync += of.eq(self.set)
        m.d.comb += [
            end.eq(Mux(waits, row.end, coming.end)),
            self.i.ready.eq((~full | (arrived & self.o.ready)) & (of == coming.set)),
            accept.eq(self.i.valid & self.i.ready),
        ]
        there = {}
        for name in "keys", "values", "left":
            number = Signal.like(getattr(self, name), name=f"{name}_then")
            there[name] = Signal(name=f"{name}_there")
            m.d.sync += number.eq(getattr(self, name))
            with m.If(accept | waits):
                m.d.sync += there[name].eq(reached(number, end))
        aborted, gone = Signal(), Signal()
        m.d.sync += aborted.eq(self.aborted)
        with m.If(accept | waits):
            m.d.sync += gone.eq(aborted)
        with m.If(accept):
            m.d.sync += [row.eq(coming), full.eq(1)]
        with m.Elif(self.o.ready & arrived):
            m.d.sync += full.eq(0)
        m.d.comb += [
            lost.eq(gone & ~there["values"] & ~there["left"]),
            arrived.eq((there["keys"] & there["values"]) | row.failed | lost),
            self.o.valid.eq(full & arrived), self.o.payload.eq(row),
            self.o.payload.failed.eq(row.failed | lost),
        ]
        return m
