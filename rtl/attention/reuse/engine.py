"""Attention whose maps are stored, and reused for the values of further layers."""

import itertools

from amaranth import Cat, Mux, Signal, signed
from amaranth.lib import wiring

from ...blocks.pipeline import delays
from ...blocks.products import CHAIN
from ...stream.fifo import FifoStorage
from ..engine import DenseAttention
from .dual_array import DualArray
from .map_store import MapStore
from .row_division import RowDivisionPipeline, RowFactor

__all__ = ["ReuseAttention"]


class ReuseAttention(DenseAttention):
    """Attention of queries to a set, or of a stored map to values alone.

    A leading set is keys, values and queries, as for
    :class:`~rtl.attention.engine.DenseAttention`; what it multiplies the values by are codes of the
    exponentials (:class:`~rtl.softmax.exponentials.ExponentialsConfig`), and the sums are divided
    by the sum of the codes (:class:`~rtl.attention.reuse.row_division.RowDivision`). Codes and
    their sums are the map, which is stored as it is made. A reusing set is values alone, in as many
    outputs as the map has rows, the same to the bit as those of a leading set with these values.

    Sets are worked on in the order of the values; keys and queries may come at any time.

    Throughput: a leading set as dense attention; a reusing one takes two queries at a time, one in
    each of the two arrays of multipliers, ``config.reuse_cycles(keys)`` each, during which no dot
    products are made. A map that is not there, or was made from another number of keys or with
    another tag, is refused: ``error`` rises, and one output of zeros ends the set.
    """

    @staticmethod
    def pair_gap(config):
        """Cycles from the sums of the first query of a pair to those of the second."""
        return max(config.vector_beats, min(config.dim, CHAIN))

    @staticmethod
    def _requantise_stages(config):
        return RowDivisionPipeline.LATENCY

    # Dot products --------------------------------------------------------------------------------

    def elaborate(self, platform):
        self._running = Signal()
        return super().elaborate(platform)

    def _may_issue(self, credit):
        return credit & ~self._running

    def _may_start(self, ahead):
        # Weights wait for their values.
        return 1

    def _dot_product(self, element, count, addend_bits):
        config = self.config
        # A code has no sign.
        wide = signed(max(element.width, config.code_bits + 1))
        return DualArray(wide, element, count, *config.sum_range)

    def _operands(self, m, dot, query, key):
        self._array = dot
        turned = delays(m, self._running, 1, "turned")[-1]
        self._second_code = Signal(self.config.code_bits)
        value = self._values.o[0].data
        m.d.comb += dot.accumulate.eq(turned)
        for j in range(self.config.dim):
            m.d.comb += [dot.a[j].eq(Mux(turned, self._second_code, query[j])),
                         dot.b[j].eq(Mux(turned, value[j], key[j]))]

    def _note_row(self, m, row, set_end):
        # Rows that wait for their values, in the softmax unit and before it.
        softmax = self.config.softmax_config
        rows = softmax.most_rows + 2 * softmax.latency + 64
        place = self._keys.end.word
        m.submodules.set_ends = self._set_ends = FifoStorage(
            1 + len(place), 1 << (rows - 1).bit_length())
        m.d.comb += [self._set_ends.i.eq(Cat(set_end, place)), self._set_ends.push.eq(row)]

    def _mismatch(self, m):
        return self._refused | self._uneven

    # Weighted sums -------------------------------------------------------------------------------

    def _weighted_sum(self, m, weights):
        config, values = self.config, self._values
        use, there = values.use, values.complete != 0
        cycles, gap = self._sum_cycles(config), self.pair_gap(config)
        total_bits = config.division.places[1] + 1
        m.submodules.maps = maps = MapStore(config.maps, config.map_rows, config.max_keys,
                                            config.code_bits, total_bits, config.memory)

        # The sums of a row end, and those of the second of a pair some cycles after.
        ends, second, waiting = Signal(), Signal(), Signal()
        queue, credit, spacing = self._output_queue(m, ends, gap)
        free = (spacing == 0) & ~waiting

        fresh = Signal(init=1)
        m.d.comb += [maps.map.eq(use.map), maps.begin.eq(there & fresh),
                     maps.clear.eq(maps.begin & ~use.reuse)]
        with m.If(values.release):
            m.d.sync += fresh.eq(1)
        with m.Elif(there):
            m.d.sync += fresh.eq(0)

        # Leading sets.
        accept, end = Signal(), Signal()
        starts, leads = Signal(init=1), Signal()
        held = Signal(config.code_bits, name="weights")
        total = Signal(total_bits)
        ended, set_ended, uneven = Signal(), Signal(), Signal()
        kept_use, kept_keys = Signal.like(use), Signal.like(self._keys.end.word)
        set_end = end & self._set_ends.o[0]
        self._uneven = Signal()
        m.d.comb += [
            leads.eq(there & ~use.reuse),
            weights.ready.eq(leads & (~weights.payload.last | (free & credit.available))),
            accept.eq(weights.valid & weights.ready), end.eq(accept & weights.payload.last),
            self._set_ends.pop.eq(end),
            uneven.eq(self._set_ends.o[1:] != values.end.word),
            self._uneven.eq(set_ended & maps.broken),
        ]
        m.d.sync += [held.eq(Mux(accept, weights.payload.data.as_value(), 0)),
                     ended.eq(end), set_ended.eq(set_end), kept_use.eq(use),
                     kept_keys.eq(self._set_ends.o[1:]), maps.broken.eq(uneven)]
        with m.If(accept):
            m.d.sync += [starts.eq(weights.payload.last), total.eq(
                weights.payload.data.as_value() + Mux(starts, 0, total))]
        m.d.sync += maps.write.eq(accept)
        m.d.comb += [maps.code.eq(held), maps.end.eq(ended), maps.total.eq(total),
                     maps.complete.eq(set_ended), maps.keys.eq(kept_keys),
                     maps.tag.eq(kept_use.tag)]

        # Reusing sets.
        reuse = self._reuse(m, maps, free, credit)
        m.d.comb += self._running.eq(reuse.running)
        word = Signal(range(values.words))
        with m.If(values.release):
            m.d.sync += word.eq(0)
        with m.Elif(accept | reuse.step):
            m.d.sync += word.eq(Mux(Mux(accept, weights.payload.last, reuse.last), 0, word + 1))
        m.d.comb += [values.word.eq(word),
                     values.release.eq(set_end | reuse.done)]

        # Second query of a pair. It is the last one if nothing comes after it.
        pair_final = Signal()
        with m.If(reuse.pair):
            m.d.sync += pair_final.eq(reuse.final)
        count = Signal(range(gap + 1))
        with m.If(reuse.pair):
            m.d.sync += [waiting.eq(1), count.eq(gap - 1)]
        with m.Elif(waiting):
            m.d.sync += count.eq(count - 1)
            with m.If(second):
                m.d.sync += waiting.eq(0)
        m.d.comb += [second.eq(waiting & (count == 0)), ends.eq(end | reuse.end | second)]

        # Both arrays.
        first = Signal()
        m.d.sync += first.eq((accept & starts) | (reuse.step & (word == 0)))
        m.d.comb += [self._array.first.eq(first), self._second_code.eq(maps.codes[1])]
        sums = self._accumulators(m, [held | maps.codes[0]], first)
        paired = delays(m, reuse.pair, 1 + max(self._array.sum_stages(j)
                                              for j in range(config.dim)), "paired")
        turn = delays(m, second, cycles, "second")
        results = []
        for j, one in enumerate(sums):
            other = Signal.like(one, name=f"second_{j}", reset_less=True)
            with m.If(paired[1 + self._array.sum_stages(j)]):
                m.d.sync += other.eq(self._array.sums[j])
            result = Signal.like(one, name=f"result_{j}")
            m.d.comb += result.eq(Mux(turn[-1], other, one))
            results.append(result)

        # Sums of the rows come a cycle after their end.
        m.submodules.factor = factor = RowFactor(config.division)
        later = Signal(total_bits)
        with m.If(paired[1]):
            m.d.sync += later.eq(maps.totals[1])
        reused = delays(m, reuse.end, 1, "reused")[-1]
        m.d.comb += factor.total.eq(Mux(turn[1], later, Mux(reused, maps.totals[0], total)))
        done = delays(m, ends, cycles, "done")[-1]
        last = delays(m, set_end | (reuse.end & reuse.final & ~reuse.pair) | (
            second & pair_final), cycles, "set_done")[-1]
        self._factor = Signal.like(factor.o, name="factor_selected")
        if config.vector_beats > 1:
            kept = Signal.like(factor.o, name="factor_held")
            with m.If(done):
                m.d.sync += kept.eq(factor.o)
            m.d.sync += self._factor.eq(kept)
        else:
            m.d.sync += self._factor.eq(factor.o)
        self._outputs(m, results, done, last, queue)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

    def _requantiser(self, m, shape):
        pipeline = RowDivisionPipeline(self.config.division, *self.config.sum_range)
        m.d.comb += pipeline.factor.eq(self._factor)
        return pipeline

    def _reuse(self, m, maps, free, credit):
        """Sequence the rows of a reused map, in step with the values' addresses."""
        config, values = self.config, self._values
        use, there = values.use, values.complete != 0
        # The codes are read two cycles before the values, and are registered meanwhile.
        now, between, after = _Sequence("ahead"), _Sequence("between"), _Sequence("reuse")
        m.d.sync += [getattr(later, name).eq(getattr(earlier, name)) for name in _Sequence.NAMES
                     for earlier, later in itertools.pairwise((now, between, after))]
        may_end = free & ~between.end & ~after.end
        info = Signal.like(maps.info)
        good = Signal()
        self._refused = Signal()
        word = Signal(range(values.words), name="map_word")
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
                                    & (info.keys == values.end.word))
                m.next = "decide"
            with m.State("decide"):
                with m.If(good):
                    m.next = "run"
                with m.Else():
                    m.d.comb += self._refused.eq(1)
                    m.next = "refuse"
            with m.State("run"):
                m.d.comb += [
                    now.running.eq(1),
                    now.step.eq(~now.last | (may_end & (credit.left > 1))),
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
                with m.If(may_end & credit.available):
                    m.d.comb += [now.step.eq(1), now.end.eq(1), now.final.eq(1),
                                 now.done.eq(1)]
                    m.next = "wait"
        return after


class _Sequence:
    """Signals of the sequence of rows.

    ``running``: the arrays work on rows; ``step``: a key is read; ``last``: it is the last key of
    its rows; ``end``: one or two rows end, two with ``pair``; ``final``: they are the map's last;
    ``done``: the sequence ends.
    """

    NAMES = ("running", "step", "last", "end", "pair", "final", "done")

    def __init__(self, name):
        for signal in self.NAMES:
            setattr(self, signal, Signal(name=f"{name}_{signal}"))
