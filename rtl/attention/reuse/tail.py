"""Tail of the engine that stores attention maps, and reuses them for values of further layers."""

import itertools

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.pipeline import delays
from ...blocks.products import CHAIN
from ..layouts import PlaceLayout
from ..output_rows import OutputRows
from ..row_weights import RowWeights
from ..value_sums import ValueSums
from .dual_array import DualArray
from .map_store import MapStore, MapUse
from .row_division import RowFactor

__all__ = ["ReuseTail"]


class ReuseTail(wiring.Component):
    """Outputs of rows of logits, or of a stored map for values alone.

    A leading set is keys, values and queries; what its values are multiplied by are codes of the
    exponentials (:class:`~rtl.softmax.exponentials.ExponentialsConfig`), and the sums are divided
    by the sum of the codes (:class:`~rtl.attention.reuse.row_division.RowDivision`). Codes and
    their sums are the map, which is stored as it is made. A reusing set is values alone, in as many
    outputs as the map has rows, the same to the bit as those of a leading set with these values.

    Sets are worked on in the order of the values; rows of logits wait for theirs.

    Throughput: a leading set one beat per cycle; a reusing one takes two queries at a time, one in
    each of the two arrays of multipliers, ``config.reuse_cycles(keys)`` each, during which no dot
    products are made. A map that is not there, or was made from another number of keys or with
    another tag, is refused: ``refused`` pulses, and one marked output of zeros ends the set.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.
    layout : LogitLayout
        Layout of the logits. The row has the ``end`` of its keys and a ``mark``.
    word : ShapeLike
        Shape of the values' addresses.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits.
    word : Out(word)
        Word of the values' store to read.
    values : In(ArrayLayout(StructLayout({"data": ArrayLayout(signed(bits), value_dim)}), 1))
        Word that was read, a cycle later.
    complete : In(2)
        Complete sets of values.
    value_end : In(PlaceLayout(n, 1))
        Place of the last value of the set that is read.
    use : In(MapUse(maps))
        What that set is for.
    failed : In(1)
        That set is not right.
    release : Out(1)
        The last values of a set are read.
    borrow : Out(1)
        The dot array is to add up products, as what follows says: see
        :class:`~rtl.attention.dot_array.DotArray`.
    start : Out(1)
        The sums start.
    code : Out(code_bits)
        Code of a key.
    sums : In(ArrayLayout(signed(sum_bits), value_dim))
        Running sums.
    o : Out(stream.Signature(config.output_layout))
        One vector per row, ``last`` in the last beat of a set's last one, ``use`` in a marked one.
    refused : Out(1)
        A map is refused, or cannot be stored as its values are of another number than its keys, or
        its queries too many. Pulses.
    error : Out(1)
        The exponentials find an error. Pulses with the first one after reset.
    """

    def __init__(self, config, layout, word):
        self.config = config
        self.layout = layout
        vector = data.StructLayout({
            "data": data.ArrayLayout(signed(config.bits), config.value_dim)})
        super().__init__({
            "i": In(stream.Signature(layout)), "word": Out(word),
            "values": In(data.ArrayLayout(vector, 1)), "complete": In(2),
            "value_end": In(PlaceLayout(config.max_keys, 1)), "use": In(MapUse(config.maps)),
            "failed": In(1), "refused": Out(1),
            "release": Out(1), "borrow": Out(1), "start": Out(1), "code": Out(config.code_bits),
            "sums": In(data.ArrayLayout(signed(config.sum_bits), config.value_dim)),
            "o": Out(stream.Signature(config.output_layout)), "error": Out(1),
        })

    @staticmethod
    def pair_gap(config):
        """Cycles from the sums of the first query of a pair to those of the second."""
        return max(config.value_beats, min(config.array_size, CHAIN))

    @staticmethod
    def passes_of(config):
        """How often the latency of a row of one beat grows by a further beat."""
        return config.softmax_config.passes

    @staticmethod
    def _sum_cycles(config):
        """From a row's last codes to the sums of the row."""
        return 1 + ValueSums.latency_of(config)

    @classmethod
    def latency_of(cls, config):
        """Cycles from the only logits of a row to its first beat on ``o``."""
        return (config.softmax_config.latency + cls._sum_cycles(config)
                + OutputRows.latency_of(config, config.division))

    def elaborate(self, platform):
        m = Module()
        config, use = self.config, self.use
        cycles, gap = self._sum_cycles(config), self.pair_gap(config)
        total_bits = config.division.places[1] + 1
        m.submodules.weights = rated = RowWeights(config, self.layout)
        m.submodules.maps = maps = MapStore(config.maps, config.map_rows, config.max_keys,
                                            config.code_bits, total_bits, config.memory)
        # The sums of a row end, and those of the second of a pair some cycles after.
        m.submodules.rows = rows = OutputRows(config, cycles + gap, config.division)
        m.submodules.own_sums = own_sums = ValueSums(config)
        second, waiting = Signal(), Signal()
        there = self.complete != 0
        free = Signal()
        m.d.comb += free.eq(rows.may_end & ~waiting)
        wiring.connect(m, wiring.flipped(self.i), rated.i)
        weights, beat = rated.o, rated.o.payload
        row = beat.row

        fresh = Signal(init=1)
        m.d.comb += [maps.map.eq(use.map), maps.begin.eq(there & fresh),
                     maps.clear.eq(maps.begin & ~use.reuse)]
        with m.If(self.release):
            m.d.sync += fresh.eq(1)
        with m.Elif(there):
            m.d.sync += fresh.eq(0)

        # Leading sets.
        accept, end = Signal(), Signal()
        starts, leads = Signal(init=1), Signal()
        held = Signal(config.code_bits, name="weights")
        total = Signal(total_bits)
        ended, set_ended, uneven = Signal(), Signal(), Signal()
        kept_use, kept_keys = Signal.like(use), Signal.like(row.end)
        set_end = end & row.set_end
        m.d.comb += [
            leads.eq(there & ~use.reuse), weights.ready.eq(leads & (~beat.last | free)),
            accept.eq(weights.valid & weights.ready), end.eq(accept & beat.last),
            uneven.eq(row.end != self.value_end.word),
        ]
        m.d.sync += [held.eq(Mux(accept, beat.weights.as_value(), 0)),
                     ended.eq(end), set_ended.eq(set_end), kept_use.eq(use),
                     kept_keys.eq(row.end), maps.broken.eq(uneven)]
        with m.If(accept):
            m.d.sync += [starts.eq(beat.last),
                         total.eq(beat.weights.as_value() + Mux(starts, 0, total))]
        m.d.sync += maps.write.eq(accept)
        m.d.comb += [maps.code.eq(held), maps.end.eq(ended), maps.total.eq(total),
                     maps.complete.eq(set_ended), maps.keys.eq(kept_keys),
                     maps.tag.eq(kept_use.tag)]

        # Reusing sets.
        refused = Signal()
        reuse = self._reuse(m, maps, free, rows.left, refused)
        m.d.comb += [
            self.borrow.eq(reuse.running), self.refused.eq(refused | (set_ended & maps.broken)),
            self.error.eq(rated.error),
        ]
        word = Signal.like(self.word)
        with m.If(self.release):
            m.d.sync += word.eq(0)
        with m.Elif(accept | reuse.step):
            m.d.sync += word.eq(Mux(Mux(accept, beat.last, reuse.last), 0, word + 1))
        m.d.comb += [self.word.eq(word), self.release.eq(set_end | reuse.done)]

        # Second query of a pair. It is the last one if nothing comes after it.
        pair_final, pair_failed = Signal(), Signal()
        with m.If(reuse.pair):
            m.d.sync += [pair_final.eq(reuse.final), pair_failed.eq(self.failed)]
        count = Signal(range(gap + 1))
        with m.If(reuse.pair):
            m.d.sync += [waiting.eq(1), count.eq(gap - 1)]
        with m.Elif(waiting):
            m.d.sync += count.eq(count - 1)
            with m.If(second):
                m.d.sync += waiting.eq(0)
        m.d.comb += [second.eq(waiting & (count == 0)), rows.end.eq(end | reuse.end | second)]

        # Both arrays.
        first = Signal()
        m.d.sync += first.eq((accept & starts) | (reuse.step & (word == 0)))
        m.d.comb += [
            self.start.eq(first), self.code.eq(maps.codes[1]), own_sums.first.eq(first),
            own_sums.weights[0].eq(held | maps.codes[0]), own_sums.values.eq(self.values),
        ]
        stages = [DualArray.stages_of_sum(config.array_size, j) for j in range(config.value_dim)]
        paired = delays(m, reuse.pair, 1 + max(stages), "paired")
        turn = delays(m, second, cycles, "second")
        for j, one in enumerate(own_sums.o):
            other = Signal(signed(config.sum_bits), name=f"second_{j}", reset_less=True)
            with m.If(paired[1 + stages[j]]):
                m.d.sync += other.eq(self.sums[j])
            m.d.comb += rows.sums[j].eq(Mux(turn[-1], other, one))

        # Sums of the rows come a cycle after their end.
        m.submodules.factor = factor = RowFactor(config.division)
        later = Signal(total_bits)
        with m.If(paired[1]):
            m.d.sync += later.eq(maps.totals[1])
        reused = delays(m, reuse.end, 1, "reused")[-1]
        last = set_end | (reuse.end & reuse.final & ~reuse.pair) | (second & pair_final)
        m.d.comb += [
            factor.total.eq(Mux(turn[1], later, Mux(reused, maps.totals[0], total))),
            rows.factor.eq(factor.o), rows.done.eq(delays(m, rows.end, cycles, "done")[-1]),
            rows.set_end.eq(delays(m, last, cycles, "set_done")[-1]),
            rows.mark.eq(delays(m, Mux(second, pair_failed, self.failed | reuse.nothing
                                       | (end & (row.mark | uneven))), cycles, "mark")[-1]),
        ]
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        return m

    def _reuse(self, m, maps, free, left, refused):
        """Sequence the rows of a reused map, in step with the values' addresses.

        Raises ``refused`` for a map that does not serve.
        """
        config, use, there = self.config, self.use, self.complete != 0
        # The codes are read two cycles before the values, and are registered meanwhile.
        now, between, after = _Sequence("ahead"), _Sequence("between"), _Sequence("reuse")
        m.d.sync += [getattr(later, name).eq(getattr(earlier, name)) for name in _Sequence.NAMES
                     for earlier, later in itertools.pairwise((now, between, after))]
        may_end = free & ~between.end & ~after.end
        info = Signal.like(maps.info)
        good = Signal()
        word = Signal.like(self.word, name="map_word")
        row = Signal(range(config.map_rows + 2))
        ends = [Signal(range(config.max_keys), name=f"end_{k}") for k in range(2)]
        exists = Signal()
        if config.causal:
            m.d.comb += [place.eq(Mux(row + k < info.keys, row + k, info.keys))
                         for k, place in enumerate(ends)]
        else:
            m.d.comb += [place.eq(info.keys) for place in ends]
        m.d.comb += [
            exists.eq(row != info.rows),
            now.last.eq(word == Mux(exists, ends[1], ends[0])),
            now.final.eq(~exists | (row + 1 == info.rows)),
            maps.read.eq(now.step & now.running), maps.end_pair.eq(now.end & now.running),
            maps.take.eq(Cat(word <= ends[0], exists & (word <= ends[1]))),
        ]
        with m.If(now.step):
            m.d.sync += word.eq(Mux(now.last | ~now.running, 0, word + 1))

        with m.FSM():
            with m.State("wait"):
                m.d.sync += row.eq(0)
                # What the set before has stored is there two cycles after its end.
                with m.If(there & use.reuse & ~between.done & ~after.done):
                    m.next = "look up"
            with m.State("look up"):
                m.d.sync += info.eq(maps.info)
                m.next = "compare"
            with m.State("compare"):
                m.d.sync += good.eq(info.valid & (info.tag == use.tag)
                                    & (info.keys == self.value_end.word))
                m.next = "decide"
            with m.State("decide"):
                with m.If(good):
                    m.next = "run"
                with m.Else():
                    m.d.comb += refused.eq(1)
                    m.next = "refuse"
            with m.State("run"):
                m.d.comb += [
                    now.running.eq(1),
                    now.step.eq(~now.last | (may_end & (left > 1))),
                    now.end.eq(now.step & now.last),
                    now.pair.eq(now.end & exists),
                    now.done.eq(now.end & now.final),
                ]
                with m.If(now.end):
                    m.d.sync += row.eq(row + 2)
                with m.If(now.done):
                    m.next = "wait"
            with m.State("refuse"):
                # A row of nothing.
                with m.If(may_end):
                    m.d.comb += [now.step.eq(1), now.end.eq(1), now.final.eq(1),
                                 now.done.eq(1), now.nothing.eq(1)]
                    m.next = "wait"
        return after


class _Sequence:
    """Signals of the sequence of rows.

    ``running``: the arrays work on rows; ``step``: a key is read; ``last``: it is the last key of
    its rows; ``end``: one or two rows end, two with ``pair``; ``final``: they are the map's last;
    ``done``: the sequence ends; ``nothing``: the row is that of a map that is refused.
    """

    NAMES = ("running", "step", "last", "end", "pair", "final", "done", "nothing")

    def __init__(self, name):
        for signal in self.NAMES:
            setattr(self, signal, Signal(name=f"{name}_{signal}"))
