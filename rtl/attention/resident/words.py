"""Words of the keys that queries see, once their vectors have come."""

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .. import layouts
from .positions import position_shape, reached
from .rows import RowLayout

__all__ = ["VisibleWords"]


class VisibleWords(wiring.Component):
    """Selection of the keys that a query sees: a row of words for each, a query behind the other.

    A row starts once the keys and values it needs have come. Where some of them went before, and
    where the row failed, it is one word that is masked, and marked. Latency 1 cycle from a row,
    throughput one word per cycle; rows follow without a bubble. Empty after reset.

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
        Rows.
    query : In(stream.Signature(QueryLayout(config)))
        Queries.
    o : Out(stream.Signature(WordLayout(config, word, row)))
        Words; ``row`` has ``set_end`` for the last query of a packet, and ``mark``. The ``query``
        of a row is undefined where none comes.
    set : Out(range(sets))
        Set of the row that comes next.
    keys, values : In(position_shape(regions))
        Keys and values of that set that have come.
    left : In(position_shape(regions))
        Keys that the set has at present.
    aborted : In(1)
        Values of the set went before they had come.
    broken : Out(1)
        Pulses when a packet has other numbers of rows and queries.
    """

    def __init__(self, config, regions):
        self.regions = regions
        position = position_shape(regions)
        #: Layout of a word.
        self.layout = layouts.WordLayout(config, range(regions.sets * regions.words),
                                         layouts.RowLayout(mark=unsigned(1)))
        super().__init__({
            "i": In(stream.Signature(RowLayout(regions))),
            "query": In(stream.Signature(layouts.QueryLayout(config))),
            "o": Out(stream.Signature(self.layout)), "set": Out(range(regions.sets)),
            "keys": In(position), "values": In(position), "left": In(position),
            "aborted": In(1), "broken": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        regions, coming, word = self.regions, self.i.payload, self.o.payload
        come, lost, failed = Signal(), Signal(), Signal()
        row, query = Signal.like(coming), self.query.payload
        # A query is taken; the packet's queries are over before its rows; those behind are dropped.
        take, over, dropping = Signal(), Signal(), Signal()
        m.d.comb += [
            self.set.eq(coming.set),
            come.eq(reached(self.keys, coming.end) & reached(self.values, coming.end)),
            lost.eq(self.aborted & ~reached(self.values, coming.end)
                    & ~reached(self.left, coming.end)),
            # The row at hand, which comes first, is of the same packet unless it is final.
            failed.eq(coming.failed | (lost & ~come) | (~row.final & (over | (take & query.last)))),
        ]

        mark, active, broken_off = Signal(), Signal(), Signal()
        first, in_sinks, in_ring = Signal(), Signal(), Signal()
        index, left = Signal(range(regions.words)), Signal(range(regions.ring_words + 2))
        last, leaves, start = Signal(), Signal(), Signal()
        m.d.comb += [
            self.o.valid.eq(active & (~first | over | (self.query.valid & ~dropping))),
            leaves.eq(self.o.valid & self.o.ready), take.eq(leaves & first & ~over),
            self.query.ready.eq(take | dropping),
            self.broken.eq(take & (query.last != row.final)),
            self.i.ready.eq((~active | (leaves & last)) & (come | failed)),
            start.eq(self.i.valid & self.i.ready),
        ]
        ring_start = regions.sink_words + row.word
        with m.If(start):
            sinks, ring = coming.sinks & ~failed, coming.ring & ~failed
            m.d.sync += [
                row.eq(coming), mark.eq(failed), active.eq(1), first.eq(1),
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
            last.eq((left == 0) & ~(in_sinks & row.ring)),
            word.word.eq(row.base + index), word.keep.eq(~0), word.first.eq(first),
            word.last.eq(last), word.query.eq(self.query.payload.elements),
            word.row.set_end.eq(row.final),
            word.row.mark.eq(mark | Mux(first & ~over, query.failed, broken_off)),
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
            m.d.comb += word.mask[lane].eq(~seen)
        return m
