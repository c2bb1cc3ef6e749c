"""Greedy search for the keys that are worth an exact dot product, over sorted columns."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.pipeline import delays
from ..kept_keys import KeptKeys
from .column_merge import ColumnMerge
from .scores import GreedyScores
from .sorted_columns import SortedColumns

__all__ = ["GreedySearch"]

# Cycles from the last dimensions of a query that are prepared to the first step of its search.
PREPARE = 5

# Cycles by which the smallest products are behind the largest.
BEHIND = 2


class GreedySearch(wiring.Component):
    """Candidates of a query: rows whose score, summed over a few products, is positive.

    ::

        repeat iterations times:
            p = largest product q_j k_ij not taken yet, r its row
            if p > 0:  score[r] += p;  sum += p
            unless min_skip and sum < 0:
                p = smallest product not taken yet, r its row
                if p < 0:  score[r] += p;  sum += p
        candidates = rows with score > 0

    as in A3 (Ham et al., HPCA 2020), where two pointers per column of sorted K find the products.
    Each side has its own pointers, and takes products of one sign only. Of equal products the one
    of the lowest dimension comes first, and within a dimension the one nearer to the end of the
    sorted column where the pointer starts.

    Throughput one iteration per cycle, one query in :meth:`cycles_of` cycles: while a query is
    searched the next one is prepared and the one before is scanned. Latency :meth:`latency_of`.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    take : In(1)
        A query enters. Only while ``ready``.
    elements : In(ArrayLayout(signed(bits), dim))
        Elements of the query.
    iterations : In(iteration_bits)
        Iterations of its search.
    bank : In(1)
        Which of the two sets it belongs to.
    ready : Out(1)
        A query can enter.
    count : In(range(n + 1)).array(2)
        Number of keys of each of the two sets that take part.
    first : In(range(n)).array(2)
        First of them.
    ends : In(range(n)).array(2)
        Last key of each set.
    head_bank : Out(1)
        As of :class:`~rtl.attention.greedy.sorted_columns.SortedColumns`, as what follows.
    head_beat : Out(range(vector_beats))
        Columns whose ends are read.
    low : In(ArrayLayout(ArrayLayout(element, HEAD), io_lanes))
        Least elements of these columns, a cycle later.
    high : In(ArrayLayout(ArrayLayout(element, HEAD), io_lanes))
        Largest elements of these columns, a cycle later.
    address : Out(range(2 * words)).array(2)
        Elements to read, for the largest and for the smallest products.
    lane : Out(range(io_lanes)).array(2)
        Lanes of these elements.
    sorted : In(element).array(2)
        Elements that were read, two cycles later.
    o : Out(stream.Signature(KeptKeys.layout(n, lanes)))
        Candidates.
    """

    #: Queries that may be in flight, from here to their last exact dot product.
    ROWS = 8

    def __init__(self, config):
        self.config = config
        self.words = words = config.column_words
        element, lanes = SortedColumns.element_layout(config), config.io_lanes
        heads = data.ArrayLayout(data.ArrayLayout(element, ColumnMerge.HEAD), lanes)
        self._merges = [ColumnMerge(config, element, 2 * words) for _ in range(2)]
        super().__init__({
            "take": In(1), "elements": In(data.ArrayLayout(signed(config.bits), config.dim)),
            "iterations": In(config.iteration_bits), "bank": In(1), "ready": Out(1),
            "count": In(range(config.max_keys + 1)).array(2),
            "first": In(range(config.max_keys)).array(2),
            "ends": In(range(config.max_keys)).array(2),
            "head_bank": Out(1), "head_beat": Out(range(config.vector_beats)),
            "low": In(heads), "high": In(heads),
            "address": Out(range(2 * words)).array(2), "lane": Out(range(lanes)).array(2),
            "sorted": In(element).array(2),
            "o": Out(stream.Signature(KeptKeys.layout(config.max_keys, config.lanes))),
        })

    @staticmethod
    def cycles_of(config, keys):
        """Cycles between one query and the next, once the engine is full."""
        return max(config.iterations, config.dim // config.start_lanes + PREPARE,
                   GreedyScores.cycles_of(config, keys))

    @classmethod
    def latency_of(cls, config):
        """From a query taken, with one key, to its candidate on ``o``."""
        return (config.dim // config.start_lanes + PREPARE + max(config.iterations, 1) + BEHIND
                + GreedyScores.cycles_of(config, 1) + 5
                + KeptKeys.stages(config.scan_lanes, config.lanes, config.max_keys))

    def elaborate(self, platform):
        m = Module()
        m.submodules.largest, m.submodules.smallest = self._merges
        start, step = Signal(), Signal()
        loaded, iterations, bank = self._prepare(m, start)

        # A query follows the other without a cycle between their steps.
        left, searching, turn = Signal(self.iterations.shape()), Signal(), Signal()
        over = Signal()
        m.submodules.scores = scores = GreedyScores(self.config)
        m.d.comb += [
            over.eq(searching & ~left[1:].any()), step.eq(searching & (left != 0)),
            start.eq(loaded & (over | ~searching) & Mux(turn, scores.clean[1], scores.clean[0])),
            scores.begin.eq(start),
        ]
        searched_bank = Signal()
        with m.If(start):
            m.d.sync += [searching.eq(1), left.eq(iterations), turn.eq(~turn),
                         searched_bank.eq(bank)]
        with m.Elif(over):
            m.d.sync += searching.eq(0)
        with m.Elif(searching):
            m.d.sync += left.eq(left - 1)
        self._steps(m, start, step, ~turn, scores)

        over_bank = delays(m, searched_bank, BEHIND + 2, "over_bank")[-1]
        m.d.comb += [
            scores.over.eq(delays(m, over, BEHIND + 2, "over")[-1]),
            scores.end.eq(Mux(over_bank, self.ends[1], self.ends[0])),
            scores.first.eq(Mux(over_bank, self.first[1], self.first[0])),
        ]
        m.submodules.candidates = candidates = KeptKeys(
            scores.lanes, self.config.lanes, self.config.max_keys, self.ROWS * scores.words)
        m.d.sync += [candidates.valid.eq(scores.valid), candidates.keep.eq(scores.keep),
                     candidates.word.eq(scores.word), candidates.last.eq(scores.last)]
        wiring.connect(m, candidates.o, wiring.flipped(self.o))
        return m

    def _prepare(self, m, start):
        """Load the columns of a query; says when that is done, its iterations and its set."""
        config = self.config
        lanes = config.start_lanes
        parts = config.io_lanes // lanes
        elements = Signal.like(self.elements)
        iterations, bank = Signal.like(self.iterations), Signal()
        free, loading, loaded = Signal(init=1), Signal(), Signal()
        beat, part = Signal(range(config.vector_beats)), Signal(range(parts))
        group = Signal(range(config.dim // lanes))
        place, base = Signal(range(2 * self.words)), Mux(self.bank, self.words, 0)
        count = Mux(bank, self.count[1], self.count[0])
        last_part = part == parts - 1
        last = last_part & (beat == config.vector_beats - 1)
        m.d.comb += [self.ready.eq(free | start), self.head_bank.eq(bank),
                     self.head_beat.eq(beat)]
        with m.If(self.take):
            m.d.sync += [elements.eq(self.elements), iterations.eq(self.iterations),
                         bank.eq(self.bank), place.eq(base), loading.eq(1), free.eq(0),
                         beat.eq(0), part.eq(0), group.eq(0)]
        with m.Else():
            with m.If(loading):
                m.d.sync += [elements.as_value().eq(elements.as_value()[lanes * config.bits:]),
                             group.eq(group + 1), part.eq(Mux(last_part, 0, part + 1))]
                with m.If(last_part):
                    m.d.sync += [beat.eq(beat + 1), place.eq(place + count)]
                with m.If(last):
                    m.d.sync += loading.eq(0)
            with m.If(start):
                m.d.sync += free.eq(1)

        # Stages: 1 the ends of the columns are read, 2 one end is chosen, 3 multiplied, 4 cut off.
        valid = delays(m, loading, 4, "preparing")
        parts_of = delays(m, part, 4, "part")
        groups = delays(m, group, 4, "group")
        places = delays(m, place, 3, "place")
        prepared = delays(m, loading & last, 4, "prepared")[4]
        m.d.sync += loaded.eq((loaded & ~start) | prepared)
        loads = [Signal(merge.load_layout, name=f"load_{side}")
                 for side, merge in enumerate(self._merges)]
        # A comparison with a constant beyond the count is none.
        more = [count > k if k < config.max_keys else 0 for k in range(ColumnMerge.HEAD + 1)]
        behind = Mux(more[-1], count - ColumnMerge.HEAD, 0)
        for side in range(2):
            m.d.comb += [loads[side].group.eq(groups[4]), loads[side].left.eq(behind)]
        for number in range(lanes):
            element = Signal(signed(config.bits), name=f"element_{number}")
            m.d.sync += element.eq(elements[number])
            low, high = (choose([ends[at] for at in range(number, config.io_lanes, lanes)],
                                parts_of[1]) for ends in (self.low, self.high))
            lane = parts_of[4] * lanes + number
            for side in range(2):
                column = loads[side].columns[number]
                name = f"{side}_{number}"
                factor = Signal(signed(config.bits + 1), name=f"factor_{name}")
                m.d.comb += factor.eq(-element if side else element)
                factors = delays(m, factor, 3, f"factor_{name}")
                origin = Signal(range(2 * self.words), name=f"origin_{name}")
                m.d.sync += origin.eq(Mux(factors[2] < 0, places[3] + count, places[3] - 1))
                m.d.comb += [column.factor.eq(factors[3]), column.origin.eq(origin),
                             column.lane.eq(lane)]
                for k in range(ColumnMerge.HEAD):
                    at = f"{name}_{k}"
                    # The factor is at the multiplier when the element is.
                    value = Signal(signed(config.bits), name=f"value_{at}", reset_less=True)
                    multiplier = Signal.like(factor, name=f"multiplier_{at}", reset_less=True)
                    product = Signal(signed(2 * config.bits + 1), name=f"product_{at}",
                                     reset_less=True)
                    key = Signal(2 * config.bits - 1, name=f"key_{at}")
                    row = Signal(range(config.max_keys), name=f"row_{at}")
                    m.d.sync += [
                        value.eq(Mux(factor < 0, low[k].value, high[k].value)),
                        multiplier.eq(factor), product.eq(value * multiplier),
                        row.eq(Mux(factor < 0, low[k].key, high[k].key)),
                        key.eq(Mux(~product[-1] & more[k], product, 0)),
                    ]
                    m.d.comb += [column["keys"][k].eq(key),
                                 column.rows[k].eq(delays(m, row, 2, f"row_{at}")[2])]
        for side, merge in enumerate(self._merges):
            wait = side * BEHIND
            m.d.comb += [merge.load.eq(delays(m, valid[4], wait, f"loads_{side}")[-1]),
                         merge.i.eq(delays(m, loads[side], wait, f"loads_of_{side}")[-1])]
        return loaded, iterations, bank

    def _steps(self, m, start, step, turn, scores):
        """Iterations: the largest product, and two cycles later the smallest."""
        largest, smallest = self._merges
        for side, merge in enumerate(self._merges):
            m.d.comb += [self.address[side].eq(merge.address), self.lane[side].eq(merge.lane),
                         merge.element.eq(self.sorted[side])]
        turns = delays(m, turn, BEHIND, "turn")
        starts = delays(m, start, BEHIND, "start")
        behind = delays(m, step, BEHIND, "step")[BEHIND]
        taking = behind
        if self.config.min_skip:
            # Sum of all that a query's search took, up to the largest product of its iteration.
            bits = (self.config.dim * self.config.max_keys << (2 * self.config.bits - 2))
            total = Signal(signed(bits.bit_length() + 1))
            # What was taken a cycle ago is taken off now, being known late.
            left, taken = Signal.like(total), Signal.like(smallest.top)
            m.d.comb += left.eq(total - taken)
            taking = behind & ~left[-1]
            with m.If(starts[BEHIND]):
                m.d.sync += [total.eq(scores.add.value), taken.eq(0)]
            with m.Else():
                m.d.sync += [total.eq(scores.add.value + left),
                             taken.eq(Mux(taking, smallest.top, 0))]
        m.d.comb += [largest.start.eq(start), largest.step.eq(step),
                     smallest.start.eq(starts[BEHIND]), smallest.step.eq(taking)]
        for product, merge, steps, query in ((scores.add, largest, step, turns[0]),
                                             (scores.take, smallest, taking, turns[BEHIND])):
            m.d.sync += [product.valid.eq(steps), product.query.eq(query),
                         product.row.eq(merge.row),
                         product.value.eq(Mux(steps, merge.top, 0))]
