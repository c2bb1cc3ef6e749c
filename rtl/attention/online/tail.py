"""Tail of the engine in one pass over a row: terms, sums that shift, one reciprocal a row."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.adder_tree import AdderTree
from ...blocks.pipeline import delays
from ..output_rows import OutputRows
from ..parameters import ScalingLayout
from ..sink import sink_members, sink_of
from .row_scale import OnlineDivision, RowFactor
from .row_terms import RowTerms
from .shift_sum import ShiftSum
from .value_shift_sums import ValueShiftSums

__all__ = ["OnlineTail"]


class OnlineTail(wiring.Component):
    """Outputs of rows of logits, in one pass: nothing of a row is stored, or read twice.

    ::

        logits -> reference, terms -> sum of the terms ------> factor of the row
                                `-> products with values -> weighted sums -> outputs

    :class:`~rtl.attention.online.numbers.OnlineNumbers` has the equations. The values of a beat are
    read when its terms are there. The products wait for the factor of their row, so that the row's
    outputs can follow its last sums. Throughput one beat per cycle, rows back to back; latency
    :meth:`latency_of` cycles, whatever the length of a row. Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : LogitLayout
        Layout of the logits; the row has a ``mark``.
    word : ShapeLike
        Shape of the values' addresses.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits.
    word : Out(word)
        Word of the values' store to read.
    values : In(ArrayLayout(StructLayout({"data": ArrayLayout(signed(bits), value_dim)}), lanes))
        Word that was read, a cycle later.
    release : Out(1)
        The last values of a set are read.
    o : Out(stream.Signature(config.output_layout))
        One vector per row, ``last`` in the last beat of a set's last one, ``use`` in a marked one.
    scaling : In(stream.Signature(ScalingLayout()))
        Scale of the next set's outputs, taken as the first row of the set ends, and valid by then.
        Only with scales at run time.
    sink : In(stream.Signature(SinkLayout(logit_bits)))
        Sink of the next set, valid two cycles before its first row. Only with sinks at run time.
    error : Out(1)
        Never set: nothing can go wrong here.
    """

    def __init__(self, config, layout, word):
        self.config = config
        self.layout = layout
        vector = data.StructLayout({
            "data": data.ArrayLayout(signed(config.bits), config.value_dim)})
        super().__init__({
            "i": In(stream.Signature(layout)), "word": Out(word),
            "values": In(data.ArrayLayout(vector, config.lanes)), "release": Out(1),
            "o": Out(stream.Signature(config.output_layout)), "error": Out(1),
            **({"scaling": In(stream.Signature(ScalingLayout()))} if config.run_time else {}),
            **sink_members(config),
        })

    # Cycles ------------------------------------------------------------------------------------

    @staticmethod
    def passes_of(config):
        """How often the latency of a row of one beat grows by a further beat."""
        return 0

    @staticmethod
    def _total_cycles(numbers):
        """From a beat to the sum of the terms up to it."""
        return RowTerms.stages(numbers) + AdderTree.stages(numbers.summands) + 1

    @classmethod
    def _wait(cls, numbers):
        """From the terms of a beat to their use for the values, and of a factor for its sums."""
        factor = cls._total_cycles(numbers) + RowFactor.LATENCY
        sums = RowTerms.stages(numbers) + ValueShiftSums.latency_of(numbers)
        return max(factor - sums, 0), max(sums - factor, 0)

    @classmethod
    def _sum_cycles(cls, numbers):
        """From the last beat of a row to its weighted sums, and its factor."""
        wait, _ = cls._wait(numbers)
        return RowTerms.stages(numbers) + wait + ValueShiftSums.latency_of(numbers)

    @classmethod
    def latency_of(cls, config):
        """Cycles from the only logits of a row to its first beat on ``o``."""
        return cls._sum_cycles(config.online) + OutputRows.latency_of(
            config, OnlineDivision(config.online))

    # Structure ---------------------------------------------------------------------------------

    def elaborate(self, platform):
        m = Module()
        config, numbers, beat = self.config, self.config.online, self.i.payload
        cycles = self._sum_cycles(numbers)
        m.submodules.rows = rows = OutputRows(config, cycles, OnlineDivision(numbers))
        m.submodules.terms = terms = RowTerms(numbers)
        accept, starts = Signal(), Signal(init=1)
        ends, set_ends = (delays(m, flag, cycles, name) for flag, name in (
            (accept & beat.last, "end"), (accept & beat.last & beat.row.set_end, "set_end")))
        with m.If(accept):
            m.d.sync += starts.eq(beat.last)
        m.d.comb += [
            # A row may end when its sums find the output free, and its outputs the queue.
            self.i.ready.eq(~beat.last | rows.may_end), accept.eq(self.i.valid & self.i.ready),
            terms.valid.eq(accept), terms.first.eq(starts),
        ]
        logits, live = beat.data.as_value(), beat.keep & ~beat.mask
        if numbers.sink:
            sink = sink_of(m, config, self, accept & beat.last & beat.row.set_end)
            logits, live = Cat(logits, sink.logit), Cat(live, starts & sink.valid)
        m.d.comb += [terms.i.eq(logits), terms.live.eq(live)]
        wait, spare = self._wait(numbers)
        self._values(m, accept, ends, set_ends, wait)
        known = self._total_cycles(numbers) + 1
        factor = self._factor(m, terms, self._scale(m, ends[known], set_ends[known]))
        m.d.comb += [
            rows.sums.eq(self._sums(m, terms, wait)), rows.end.eq(ends[0]),
            rows.done.eq(ends[-1]), rows.set_end.eq(set_ends[-1]),
            rows.mark.eq(delays(m, beat.row.mark, cycles, "mark")[-1]),
            rows.factor.eq(delays(m, factor, spare, "factor")[-1])]
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        return m

    def _values(self, m, accept, ends, set_ends, wait):
        """Read the values of each beat, to be there with its terms."""
        read = RowTerms.stages(self.config.online) + wait - 1
        m.d.comb += self.release.eq(set_ends[read])
        if len(self.i.payload.word):
            m.d.comb += self.word.eq(delays(m, self.i.payload.word, read, "word")[-1])
            return
        word = Signal.like(self.word)
        m.d.comb += self.word.eq(word)
        with m.If(delays(m, accept, read, "reads")[-1]):
            m.d.sync += word.eq(Mux(ends[read], 0, word + 1))

    def _scale(self, m, end, set_end):
        """Scale of the set of the row at hand, a cycle after ``end`` of each row."""
        if not self.config.run_time:
            return None
        now, fresh = Signal.like(self.scaling.payload, name="scale"), Signal(init=1)
        m.d.comb += self.scaling.ready.eq(end & fresh)
        with m.If(end):
            m.d.sync += fresh.eq(set_end)
            with m.If(fresh):
                m.d.sync += now.eq(self.scaling.payload)
        return now

    def _factor(self, m, terms, scale):
        """Factor of the row so far."""
        numbers = self.config.online
        m.submodules.beat_sum = tree = AdderTree(
            numbers.term_bits, numbers.summands,
            largest=numbers.largest_term << (numbers.block - 1))
        m.d.comb += [port.eq(term) for port, term in zip(tree.i, terms.o, strict=True)]
        width = numbers.held_sum.bit_length() + 1
        guarded = Cat(Const(0, numbers.guard_bits), tree.o, Const(0, 1))
        m.submodules.total = total = ShiftSum(width, len(guarded), numbers.block)
        self._follow(m, terms, total, tree.latency, "total")
        m.submodules.factor = factor = RowFactor(numbers)
        m.d.comb += [total.i.eq(guarded.as_signed()), factor.total.eq(total.o[:-1])]
        if scale is None:
            m.d.comb += factor.multiplier.eq(numbers.scale.multiplier)
        else:
            m.d.comb += [factor.multiplier.eq(scale.multiplier), factor.shift.eq(scale.shift)]
        return factor.o

    def _sums(self, m, terms, wait):
        """Weighted sums of the values, as they are read."""
        numbers = self.config.online
        m.submodules.sums = sums = ValueShiftSums(numbers, self.config.value_dim)
        of_keys = Cat(terms.o[k] for k in range(numbers.lanes))
        m.d.comb += [sums.terms.eq(delays(m, of_keys, wait, "terms")[-1]),
                     sums.values.eq(self.values)]
        self._follow(m, terms, sums, wait + ValueShiftSums.latency_of(numbers) - 1, "sums")
        return Cat(sums.o[j][numbers.cut:] for j in range(self.config.value_dim))

    @staticmethod
    def _follow(m, terms, sums, wait, prefix):
        """Move ``sums`` so many cycles after the terms."""
        m.d.comb += [sums.valid.eq(delays(m, terms.o_valid, wait, f"{prefix}_valid")[-1]),
                     sums.move.eq(delays(m, terms.move, wait, f"{prefix}_move")[-1])]
