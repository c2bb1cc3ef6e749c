"""Words of the keys that queries see."""

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .. import layouts
from .rows import RowLayout

__all__ = ["VisibleWords"]


class VisibleWords(wiring.Component):
    """Selection of the keys that a query sees: a row of words for each, a query behind the other.

    A row that failed is one word that is masked, and marked. Latency 1 cycle from a row, throughput
    one word per cycle; rows follow without a bubble. Empty after reset.

    ``last`` of the queries should come with that of a packet's last row. Queries behind that row
    are dropped up to their ``last``, and rows whose queries do not come fail, so that the next
    packet has its own queries.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``dim``, ``bits`` and ``lanes`` count.
    regions : Regions
        Memory of the sets.

    Members
    -------
    i : In(stream.Signature(RowLayout(regions)))
        Rows whose keys and values are there.
    query : In(stream.Signature(QueryLayout(config)))
        Queries.
    o : Out(stream.Signature(WordLayout(config, word, row)))
        Words; ``row`` has ``set_end`` for the last query of a packet, and ``mark``. The ``query``
        of a row is undefined where none comes.
    broken : Out(1)
        Pulses when a packet has other numbers of rows and queries.
    """

    def __init__(self, config, regions):
        self.regions = regions
        #: Layout of a word.
        self.layout = layouts.WordLayout(config, range(regions.sets * regions.words),
                                         layouts.RowLayout(mark=unsigned(1)))
        super().__init__({
            "i": In(stream.Signature(RowLayout(regions))),
            "query": In(stream.Signature(layouts.QueryLayout(config))),
            "o": Out(stream.Signature(self.layout)), "broken": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        regions, coming, word = self.regions, self.i.payload, self.o.payload
        row, mark, active = Signal.like(coming), Signal(), Signal()
        first, in_sinks, in_ring = Signal(), Signal(), Signal()
        index, left = Signal(range(regions.words)), Signal(range(regions.ring_words + 2))
        last, leaves, start = Signal(), Signal(), Signal()
        # A query is taken; the packet's queries are over before its rows; those behind are dropped.
        query, take, over, dropping = self.query.payload, Signal(), Signal(), Signal()
        broken_off, missing = Signal(), Signal()
        m.d.comb += [
            missing.eq(first & over),
            self.o.valid.eq(active & (~first | over | (self.query.valid & ~dropping))),
            leaves.eq(self.o.valid & self.o.ready), take.eq(leaves & first & ~over),
            self.query.ready.eq(take | dropping),
            self.broken.eq(take & (query.last != row.final)),
            self.i.ready.eq(~active | (leaves & last)),
            start.eq(self.i.valid & self.i.ready),
        ]
        ring_start = regions.sink_words + row.word
        with m.If(start):
            sinks, ring = coming.sinks & ~coming.failed, coming.ring & ~coming.failed
            m.d.sync += [
                row.eq(coming), mark.eq(coming.failed), active.eq(1), first.eq(1),
                in_sinks.eq(sinks), in_ring.eq(~sinks & ring), row.ring.eq(ring),
                index.eq(Mux(sinks, 0, regions.sink_words + coming.word)),
                left.eq(Mux(sinks, max(regions.sink_words - 1, 0), Mux(ring, coming.words, 0))),
            ]
        with m.Elif(leaves):
            m.d.sync += [first.eq(0), left.eq(left - 1), index.eq(
                Mux(index == regions.words - 1, regions.sink_words, index + 1))]
            with m.If(last):
                m.d.sync += active.eq(0)
            with m.Elif(left == 0):
                m.d.sync += [in_sinks.eq(0), in_ring.eq(1), index.eq(ring_start),
                             left.eq(row.words)]

        with m.If(take):
            m.d.sync += [over.eq(query.last & ~row.final), dropping.eq(row.final & ~query.last),
                         broken_off.eq(query.failed)]
        with m.Elif(leaves & row.final):
            m.d.sync += over.eq(0)
        with m.If(dropping & self.query.valid & query.last):
            m.d.sync += dropping.eq(0)

        m.d.comb += [
            last.eq(missing | ((left == 0) & ~(in_sinks & row.ring))),
            word.word.eq(row.base + index), word.keep.eq(~0), word.first.eq(first),
            word.last.eq(last), word.query.eq(self.query.payload.elements),
            word.row.set_end.eq(row.final),
            word.row.mark.eq(mark | missing | Mux(first, query.failed, broken_off)),
        ]
        start_of_ring = in_ring & (left == row.words)
        for lane in range(regions.lanes):
            seen = in_ring
            if lane < regions.lanes - 1:
                seen &= ~(start_of_ring & (row.first > lane))
            if lane:
                seen &= ~((left == 0) & (row.last < lane))
            for number in range(regions.sink_words):
                position = number * regions.lanes + lane
                inside = row.sink_last >= position if position else Const(1)
                if position >= regions.sinks:
                    inside &= row.sink_first <= position
                seen |= in_sinks & (index == number) & inside
            m.d.comb += word.mask[lane].eq(missing | ~seen)
        return m
