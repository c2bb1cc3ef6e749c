"""Scores of a greedy search, and the rows whose score is positive."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.memory import ram

__all__ = ["GreedyScores"]


class GreedyScores(wiring.Component):
    """Sums of the products that a search takes, by row, for two queries; and their scan.

    A row has one sum of what was added and one of what was taken off. Either takes a product per
    cycle. When the search of a query is over its rows are scanned, ``scan_lanes`` per cycle: those
    with more added than taken off are candidates. Without any, all rows are candidates, or the
    first that takes part (``config.empty``), in as many cycles more. The scan clears the sums; so
    does a scan after reset, of :attr:`words` cycles.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    add : In(StructLayout)
        Product to add, if ``valid``: its ``value``, of row ``row``, of query ``query`` (0 and 1 in
        turns).
    take : In(StructLayout)
        Product to take off, as ``add``.
    over : In(1)
        The search of a query is over; its last product came a cycle ago or earlier. Queries are
        over in turns.
    end : In(range(n))
        Last key of that query's set.
    first : In(range(n))
        First key of the set that takes part.
    clean : Out(2)
        Bit k: the sums of query k are 0. Falls with ``begin``, rises after the query's scan.
    begin : In(1)
        The next query will be searched.
    valid : Out(1)
        There is a word of candidates.
    keep : Out(scan_lanes)
        Bit k: row ``word * scan_lanes + k`` is a candidate.
    word : Out(range(words))
        Index of the word.
    last : Out(1)
        The word ends its query.
    """

    def __init__(self, config):
        self.config = config
        self.lanes = config.scan_lanes
        self.words = -(-config.max_keys // self.lanes)
        #: Width of a sum.
        self.sum_bits = (config.dim << (2 * config.bits - 2)).bit_length()
        product = data.StructLayout({"valid": 1, "query": 1, "row": range(config.max_keys),
                                     "value": 2 * config.bits - 1})
        super().__init__({
            "add": In(product), "take": In(product),
            "over": In(1), "end": In(range(config.max_keys)), "first": In(range(config.max_keys)),
            "clean": Out(2), "begin": In(1),
            "valid": Out(1), "keep": Out(self.lanes), "word": Out(range(self.words)),
            "last": Out(1),
        })

    @staticmethod
    def cycles_of(config, keys):
        """Cycles of a scan."""
        return -(-keys // config.scan_lanes) + 2

    def elaborate(self, platform):
        m = Module()
        lane_bits = self.lanes.bit_length() - 1
        turn, beginning, ending = Signal(), Signal(), Signal()
        requested = Signal(2)
        limits = [Signal(data.StructLayout({"end": self.end.shape(), "first": self.first.shape()}),
                         name=f"limits_{k}") for k in range(2)]
        word = Signal(range(self.words))
        # Queries whose sums the scan has; after reset both.
        scanned = Signal(2, init=3)
        found, cleared = Signal(), Signal()
        limit = Mux(turn, limits[1].as_value(), limits[0].as_value())
        limit = data.View(limits[0].shape(), limit)
        end_word, end_lane = limit.end[lane_bits:], limit.end[:lane_bits]
        first_word, first_lane = limit.first[lane_bits:], limit.first[:lane_bits]

        with m.If(self.begin):
            m.d.sync += beginning.eq(~beginning)
        with m.If(self.over):
            m.d.sync += ending.eq(~ending)
        for query in range(2):
            with m.If(self.begin & (beginning == query)):
                m.d.sync += self.clean[query].eq(0)
            with m.If(self.over & (ending == query)):
                m.d.sync += [requested[query].eq(1), limits[query].end.eq(self.end),
                             limits[query].first.eq(self.first)]

        # Sums, and the scan of a word of them, which is compared a cycle later.
        scanning = Signal()
        positive = self._sums(m, scanned, turn, word)
        candidates = Signal(self.lanes)
        looked, looked_last, looked_word = Signal(), Signal(), Signal.like(word)
        m.d.sync += [candidates.eq(positive), looked.eq(scanning),
                     looked_last.eq(word == end_word), looked_word.eq(word)]
        some = Signal()
        m.d.comb += [
            some.eq(looked & candidates.any()), self.keep.eq(candidates),
            self.valid.eq(some | (looked & looked_last & found)),
            self.word.eq(looked_word), self.last.eq(looked_last),
        ]

        following = Signal.like(word)
        m.d.comb += following.eq(word + 1)
        with m.FSM():
            with m.State("RESET"):
                m.d.sync += word.eq(following)
                with m.If(word == self.words - 1):
                    m.d.sync += [word.eq(0), scanned.eq(0), self.clean.eq(3)]
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += found.eq(0)
                with m.If(Mux(turn, requested[1], requested[0])):
                    m.d.sync += scanned.eq(Mux(turn, 2, 1))
                    m.next = "SCAN"
            with m.State("SCAN"):
                m.d.comb += scanning.eq(1)
                m.d.sync += word.eq(following)
                with m.If(some):
                    m.d.sync += found.eq(1)
                with m.If(word == end_word):
                    m.d.sync += [word.eq(0), scanned.eq(0)]
                    m.next = "LOOK"
            with m.State("LOOK"):
                with m.If(found | some):
                    m.d.comb += cleared.eq(1)
                with m.Else():
                    # No row is a candidate by its score.
                    m.d.comb += [self.valid.eq(1), cleared.eq(self.last)]
                    if self.config.empty == "all":
                        within = Cat(Const(1, 1), *(end_lane >= k for k in range(1, self.lanes)))
                        m.d.comb += [self.word.eq(word), self.last.eq(word == end_word),
                                     self.keep.eq(Mux(self.last, within, ~Const(0, self.lanes)))]
                    else:
                        m.d.comb += [self.word.eq(first_word), self.last.eq(1),
                                     self.keep.eq(1 << first_lane)]
                    m.d.sync += word.eq(following)
                with m.If(cleared):
                    m.d.sync += word.eq(0)
                    m.next = "WAIT"
        with m.If(cleared):
            m.d.sync += turn.eq(~turn)
            for query in range(2):
                with m.If(turn == query):
                    m.d.sync += [requested[query].eq(0), self.clean[query].eq(1)]
        return m

    def _sums(self, m, scanned, turn, word):
        """Memories of the sums; returns the flags of the word that is scanned."""
        lane_bits = self.lanes.bit_length() - 1
        sums = {}
        for name, product in ("added", self.add), ("taken", self.take):
            # A sum is read in one cycle and written in the next; one that is read while it is
            # written is taken on its way.
            held = Signal.like(product, name=f"{name}_product")
            before, total = (Signal(self.sum_bits, name=f"{name}_{what}")
                             for what in ("before", "total"))
            same = held.valid & (held.row == product.row) & (held.query == product.query)
            stored = []
            for query in range(2):
                for lane in range(self.lanes):
                    m.submodules[f"{name}_{query}_{lane}"] = words = ram(
                        self.sum_bits, 1 << max(len(word), 1), "distributed")
                    write, read = words.write_port(), words.read_port(domain="comb")
                    mine = held.valid & (held.query == query) & (held.row[:lane_bits] == lane)
                    m.d.comb += [
                        read.addr.eq(Mux(scanned[query], word, product.row[lane_bits:])),
                        write.addr.eq(Mux(scanned[query], word, held.row[lane_bits:])),
                        write.data.eq(Mux(scanned[query], 0, total)),
                        write.en.eq(scanned[query] | mine),
                    ]
                    stored.append(read.data)
                    sums[name, query, lane] = read.data
            found = choose(stored, Cat(product.row[:lane_bits],
                                       Const(0, max(lane_bits - len(product.row), 0)),
                                       product.query))
            # Nothing is added for none, whose row may be any.
            m.d.sync += [held.eq(product), before.eq(Mux(same, total, found)),
                         held.valid.eq(product.valid & product.value.any())]
            m.d.comb += total.eq(before + held.value)
        return Cat(Mux(turn, sums["added", 1, lane] > sums["taken", 1, lane],
                       sums["added", 0, lane] > sums["taken", 0, lane])
                   for lane in range(self.lanes))
