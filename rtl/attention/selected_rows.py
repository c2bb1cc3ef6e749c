"""From a query's selected keys, a beat after the other, to its row of words."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .kept_keys import KeptKeys
from .layouts import QueryLayout, WordLayout

__all__ = ["SelectedRows"]


class SelectedRows(wiring.Component):
    """Queries wait until their keys are selected, and meet them, one per lane and cycle.

    A query takes a credit as it enters, which returns with its last key. Throughput one beat of
    keys per cycle; latency 0 from a beat to its word, 1 cycle from a query.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    row : RowLayout
        Layout of what goes with a row.
    depth : int
        Queries between their selection's start and their last key, at most.

    Members
    -------
    take : In(1)
        A query enters. Only while ``available``.
    elements : In(ArrayLayout(signed(bits), dim))
        Its elements.
    row : In(row)
        What goes with its row.
    available : Out(1)
        A query can enter. From a register.
    keys : In(stream.Signature(KeptKeys.layout(max_keys, lanes)))
        Keys of one query after the other.
    o : Out(stream.Signature(SelectedRows.layout(config, row)))
        Words of keys, each lane with an address of its own.
    """

    def __init__(self, config, row, depth):
        self.depth = depth
        super().__init__({
            "take": In(1), "elements": In(QueryLayout(config)["elements"].shape), "row": In(row),
            "available": Out(1),
            "keys": In(stream.Signature(KeptKeys.layout(config.max_keys, config.lanes))),
            "o": Out(stream.Signature(self.layout(config, row))),
        })

    @staticmethod
    def layout(config, row):
        """Layout of a word."""
        return WordLayout(config, data.ArrayLayout(range(config.max_beats), config.lanes), row)

    def elaborate(self, platform):
        m = Module()
        layout = data.StructLayout({"elements": self.elements.shape(), "row": self.row.shape()})
        m.submodules.queries = queries = Fifo(layout, self.depth)
        m.submodules.credit = credit = Credit(self.depth)
        key, word, query = self.keys.payload, self.o.payload, queries.o.payload
        transfer, row = Signal(), Signal.like(self.row)
        first = Signal(init=1)
        m.d.comb += [
            queries.push.eq(self.take), queries.i.elements.eq(self.elements),
            queries.i.row.eq(self.row), self.available.eq(credit.available),
            credit.issue.eq(self.take), credit.done.eq(transfer & key.last),
            self.o.valid.eq(self.keys.valid), self.keys.ready.eq(self.o.ready),
            transfer.eq(self.o.valid & self.o.ready), queries.o.ready.eq(transfer & first),
            word.word.eq(key.word), word.keep.eq(key.keep), word.mask.eq(key.mask),
            word.first.eq(first), word.last.eq(key.last),
            word.query.eq(query.elements),
            word.row.eq(Mux(first, query.row.as_value(), row.as_value())),
        ]
        with m.If(transfer):
            m.d.sync += first.eq(key.last)
            with m.If(first):
                m.d.sync += row.eq(query.row)
        return m
