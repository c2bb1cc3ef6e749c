"""The selection of all keys: a counter."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import PlaceLayout, QueryLayout, RowLayout, WordLayout

__all__ = ["EveryKey"]


class EveryKey(wiring.Component):
    """Every query meets every key of its set or, if causal, the keys up to its own place.

    Throughput one word of keys per cycle, queries back to back; latency 0. A query leaves
    ``query`` with its first word.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    query : In(stream.Signature(QueryLayout(config)))
        Queries.
    ready : In(1)
        The set of the next query is complete.
    bank : In(1)
        Which of the two sets of the keys' store it is.
    ends : In(ArrayLayout(PlaceLayout(n, lanes), 2))
        Places of the last key of each of the two sets.
    over : Out(1)
        The last word of a set's last query leaves.
    o : Out(stream.Signature(EveryKey.layout(config)))
        Words of keys.
    """

    #: Whether it can be over with a set before the last words of the set's queries are taken.
    ahead = False
    #: Whether rows may have other words than 0, 1, 2 and so on.
    chooses = False

    def __init__(self, config):
        self.config = config
        super().__init__({
            "query": In(stream.Signature(QueryLayout(config))), "ready": In(1), "bank": In(1),
            "ends": In(data.ArrayLayout(PlaceLayout(config.max_keys, config.lanes), 2)),
            "over": Out(1), "o": Out(stream.Signature(self.layout(config)))})

    @staticmethod
    def layout(config):
        """Layout of a word; for reuse its row has the place ``end`` of the set's last key."""
        end = {"end": range(config.max_keys)} if config.reuse else {}
        return WordLayout(config, range(config.max_beats), RowLayout(**end))

    @staticmethod
    def latency_of(config):
        """Cycles from a query to its first word."""
        return 0

    @staticmethod
    def cycles_of(config, keys, kept=None):
        """Cycles per query, once the engine is full."""
        return -(-keys // config.lanes)

    def elaborate(self, platform):
        m = Module()
        lanes, word = self.config.lanes, self.o.payload
        transfer = Signal()
        place = Signal(word.word.shape())
        active_last = Signal()
        set_last, end = Signal.like(self.ends[0]), Signal.like(self.ends[0])
        m.d.comb += [
            set_last.eq(Mux(self.bank, self.ends[1], self.ends[0])), end.eq(set_last),
            self.o.valid.eq(~word.first | (self.query.valid & self.ready)),
            transfer.eq(self.o.valid & self.o.ready),
            self.query.ready.eq(transfer & word.first),
            self.over.eq(transfer & word.last & word.row.set_end),
            word.word.eq(place), word.first.eq(place == 0), word.last.eq(place == end.word),
            word.keep.eq(Cat(Const(1, 1), *(~word.last | (end.lane >= k)
                                            for k in range(1, lanes)))),
            word.query.eq(self.query.payload.elements),
            word.row.set_end.eq(Mux(word.first, self.query.payload.last, active_last)),
        ]
        if self.config.reuse:
            m.d.comb += word.row.end.eq(set_last.word)
        with m.If(transfer):
            m.d.sync += place.eq(Mux(word.last, 0, place + 1))
            with m.If(word.first):
                m.d.sync += active_last.eq(self.query.payload.last)
        if self.config.causal:
            seen = Signal.like(end)
            m.d.comb += end.eq(seen)
            with m.If(self.over):
                m.d.sync += seen.eq(0)
            with m.Elif(transfer & word.last & (seen != set_last)):
                m.d.sync += seen.lane.eq(seen.lane + 1)
                with m.If(seen.lane == lanes - 1):
                    m.d.sync += [seen.lane.eq(0), seen.word.eq(seen.word + 1)]
        return m
