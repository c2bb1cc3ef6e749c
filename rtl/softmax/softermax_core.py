"""Hardware of Softermax."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..adder_tree import AdderTree
from ..barrel_shift import shift_right
from ..leading_one import leading_one
from ..lookup import constant_multiple, lookup
from ..max_radix import MaxRadix
from ..max_tree import MaxTree, largest
from ..pipeline import delays
from ..row_queue import RowQueue
from ..row_store import RowStore
from ..row_unit import RowDatapath, RowUnit


__all__ = ["Schedule", "Softermax"]

# Functions of up to this many bits are looked up; wider ones are computed.
TABLE_BITS = 8

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 4


class Schedule:
    """Pipeline stages: cycles after a beat is accepted until a register holds what it became."""

    def __init__(self, config):
        radix = config.lanes >= RADIX_LANES
        self.position = int(config.position_factors != (1, 0))
        self.candidates = self.position + (MaxRadix.stages(config.position_bits) if radix else
                                           MaxTree.stages(config.lanes))
        self.maximum = self.candidates + 1
        self.term = self.maximum + 1 + (not _near(config))
        self.beat_sum = self.term + AdderTree.stages(config.lanes)
        self.sum = self.beat_sum + 1
        self.index = self.sum + 1
        self.write = self.index - 1
        self.read = self.write + 3
        self.factor = self.read + (2 if config.mantissa_bits <= TABLE_BITS else 4)
        self.output = self.factor + 3


def _near(config):
    """Whether a distance is looked up as it is, and not by its fraction."""
    return (len(config.exponentials) - 1).bit_length() <= TABLE_BITS - 1


class Softermax(RowUnit):
    """Softermax unit; :class:`rtl.softmax.softermax.SoftermaxConfig` says what it computes.

    First pass: integer maximum, exponentials relative to it (stored), online sum. Second pass: the
    exponentials shifted by what the maximum has risen by since, times the reciprocal of the sum.
    """

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


class _Datapath(RowDatapath):
    def __init__(self, config):
        super().__init__(config)
        self.at = Schedule(config)

    def elaborate(self, platform):
        m = Module()
        config, at = self.config, self.at
        self.valids = delays(m, self.valid, at.index, "valid")
        self.firsts = delays(m, self.first, at.beat_sum, "first")
        self.ends = delays(m, self.valid & self.end, at.index, "end")
        self.lives = delays(m, self.live, at.term, "live")

        octave, positions = self._maximum(m)
        terms = self._terms(m, octave, positions)
        total = self._sum(m, terms, octave)

        beat = data.StructLayout({
            "term": data.ArrayLayout(config.exp_fraction_bits + 1, config.lanes),
            "octave": unsigned(config.octave_bits), "keep": config.lanes, "last": 1})
        m.submodules.store = store = RowStore(beat, config.max_beats, memory=config.memory)
        m.d.comb += [
            store.i.term.as_value().eq(delays(m, Cat(terms), at.write - at.term, "terms")[-1]),
            store.i.octave.eq(delays(m, octave, at.write - at.maximum, "octave")[-1]),
            store.i.keep.eq(delays(m, self.kept, at.write, "kept")[-1]),
            store.i.last.eq(self.ends[at.write]),
            store.write.eq(self.valids[at.write]), store.last.eq(self.ends[at.write]),
        ]
        index = self._index(m, total)
        self._outputs(m, store, *self._row(m, store, octave, index))
        return m

    # First pass ----------------------------------------------------------------------------------

    def _maximum(self, m):
        """Maximum so far, rounded up to octaves, and the positions that wait for it."""
        config, at = self.config, self.at
        positions = [self._position(m, x, k) for k, x in enumerate(self.data)]
        if at.position:
            positions = [delays(m, word, 1, f"position_{k}")[-1]
                         for k, word in enumerate(positions)]
        finder = (MaxRadix if config.lanes >= RADIX_LANES else MaxTree)(config.position_bits,
                                                                        config.lanes)
        m.submodules.maximum = finder
        m.d.comb += [word.eq(position) for word, position in zip(finder.data, positions,
                                                                 strict=True)]
        m.d.comb += finder.live.eq(self.lives[at.position])
        valid, first = self.valids[at.candidates], self.firsts[at.candidates]
        octave = Signal(config.octave_bits)
        if isinstance(finder, MaxRadix):
            candidates, live = [finder.o], [Const(1, 1)]
        else:
            candidates, live = list(finder.o), list(finder.o_live)
        best, some = largest(m, candidates, live, "beat")
        f = config.position_fraction_bits
        beat_octave = Signal(config.octave_bits)
        m.d.comb += beat_octave.eq(Mux(some, (best + ((1 << f) - 1)) >> f, 0))
        with m.If(valid & (first | (beat_octave > octave))):
            m.d.sync += octave.eq(beat_octave)
        wait = at.maximum - at.position
        return octave, [delays(m, word, wait, f"waiting_{k}")[-1]
                        for k, word in enumerate(positions)]

    def _position(self, m, x, lane):
        """Position of a logit."""
        config = self.config
        if not self.at.position:
            # Offset binary; the least logit may lie above a whole octave.
            return (x - config.position_origin)[:config.position_bits]
        if config.bits <= TABLE_BITS:
            half = 1 << (config.bits - 1)
            # In the order of the bit patterns: 0 up to the largest, then the negative ones.
            words = [config.position(v - 2 * half if v >= half else v) for v in range(2 * half)]
            word = lookup(m, x.as_unsigned(), words, name=f"position_word_{lane}")
            return Cat(word, Const(0, config.position_bits - len(word)))
        multiplier, shift = config.position_factors
        scaled = (constant_multiple(x.as_signed(), multiplier) + (1 << shift >> 1)) >> shift
        return (scaled - config.position_origin)[:config.position_bits]

    def _terms(self, m, octave, positions):
        """Exponentials, at stage ``term``; 0 for elements that take no part."""
        config, at = self.config, self.at
        f = config.position_fraction_bits
        near = (len(config.exponentials) - 1).bit_length()
        live = self.lives[at.term - 1]
        terms = []
        for k, position in enumerate(positions):
            distance = Signal(config.octave_bits + f, name=f"distance_{k}")
            m.d.comb += distance.eq((octave << f) - position)
            if not _near(config):
                distance = delays(m, distance, 1, f"distance_{k}")[-1]
            if _near(config):
                word = lookup(m, distance[:near], config.exponentials, name=f"term_word_{k}")
            else:
                # A fraction of 0 counts no octave more, the others do.
                fraction = distance[:f]
                word = lookup(m, (-fraction)[:f], config.fractions, name=f"fraction_{k}")
                amount = (distance + ((1 << f) - 1)) >> f
                word = shift_right(m, word, amount[:near - f + 1])
            term = Signal(config.exp_fraction_bits + 1, name=f"term_{k}", reset_less=True)
            with m.If(live[k] & ~distance[near:].any()):
                m.d.sync += term.eq(word)
            with m.Else():
                m.d.sync += term.eq(0)
            terms.append(term)
        return terms

    def _sum(self, m, terms, octave):
        """Sum of the row so far, at stage ``sum``."""
        config, at = self.config, self.at
        before = Signal.like(octave, name="octave_before")
        with m.If(self.valids[at.maximum]):
            m.d.sync += before.eq(octave)
        bits = (config.sum_bits - 1).bit_length()
        difference = Signal(config.octave_bits)
        m.d.comb += difference.eq(octave - before)
        amount, clear = Signal(bits), Signal()
        m.d.sync += [amount.eq(difference),
                     clear.eq(self.firsts[at.maximum] | difference[bits:].any())]
        wait = at.beat_sum - at.maximum - 1
        amount, clear = (delays(m, signal, wait, name)[-1]
                         for signal, name in ((amount, "amount"), (clear, "clear")))
        m.submodules.beat_sum = tree = AdderTree(
            config.exp_fraction_bits + 1, config.lanes, largest=1 << config.exp_fraction_bits)
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, terms, strict=True)]
        total = Signal(config.sum_bits)
        beat_sum = tree.o[config.exp_fraction_bits - config.sum_fraction_bits:]
        with m.If(self.valids[at.beat_sum]):
            m.d.sync += total.eq(beat_sum + Mux(clear, 0, shift_right(m, total, amount)))
        return total

    # Second pass ---------------------------------------------------------------------------------

    def _index(self, m, total):
        """Place and mantissa of the sum, at stage ``index``."""
        config = self.config
        least, below = config.smallest_place, config.mantissa_bits
        tail = Cat(Const(0, max(below - least, 0)), total[max(least - below, 0):least])
        place, mantissa = leading_one(m, total[least:], tail, below)
        return delays(m, Cat(place, mantissa), 1, "index")[-1]

    def _row(self, m, store, octave, index):
        """Beat that was read; the last maximum of its row and the index of its sum beside it."""
        config, at = self.config, self.at
        depth = 1 << (config.max_rows - 1).bit_length()
        m.submodules.octaves = octaves = RowQueue(config.octave_bits, depth)
        m.submodules.indices = indices = RowQueue(len(index), depth)
        first = Signal(init=1)
        m.d.comb += [
            octaves.i.eq(octave), octaves.push.eq(self.ends[at.maximum]),
            indices.i.eq(index), indices.push.eq(self.ends[at.index]),
            octaves.pop.eq(store.valid & first), indices.pop.eq(store.valid & first),
            self.leaving.eq(indices.pop),
        ]
        final, sum_index = Signal(config.octave_bits), Signal(len(index))
        with m.If(store.valid):
            m.d.sync += first.eq(store.o.last)
        with m.If(first):
            m.d.sync += [final.eq(octaves.o), sum_index.eq(indices.o)]
        return final, sum_index

    def _outputs(self, m, store, final, index):
        """Output beats."""
        config, at = self.config, self.at
        wait = at.factor - at.read
        # A register that does not start at 0 stays out of a DSP block.
        read = Signal(store.layout, init={"last": 1})
        valid = Signal(name="read_valid")
        m.d.sync += [read.eq(store.o), valid.eq(store.valid)]
        bits = (config.exp_fraction_bits + 1).bit_length()
        difference = Signal(config.octave_bits, name="rise")
        m.d.comb += difference.eq(final - read.octave)
        late = Signal(bits)
        m.d.sync += late.eq(Mux(difference[bits:].any(), (1 << bits) - 1, difference[:bits]))
        late = delays(m, late, wait - 2, "late")[-1]
        terms = delays(m, read.term.as_value(), wait - 1, "read_terms")[-1]
        factor = self._factor(m, index)

        one = 1 << (config.out_bits - 1)
        width = config.exp_fraction_bits + 1
        for k in range(config.lanes):
            term = Signal(width, name=f"late_term_{k}", reset_less=True)
            product = Signal(width + len(factor), name=f"product_{k}", reset_less=True)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            output = Signal(config.out_bits, name=f"output_{k}")
            m.d.sync += [
                term.eq(shift_right(m, terms.word_select(k, width), late)),
                product.eq(term * factor),
                scaled.eq(product + (1 << config.output_shift >> 1)),
            ]
            quotient = scaled >> config.output_shift
            m.d.sync += output.eq(Mux(quotient >= one, one, quotient))
            m.d.comb += self.o.data[k].eq(output)
        cycles = at.output - at.read
        m.d.comb += [
            self.o.keep.eq(delays(m, read.keep, cycles, "read_keep")[-1]),
            self.o.last.eq(delays(m, read.last, cycles, "read_last")[-1]),
            self.o_valid.eq(delays(m, valid, cycles, "read_valid")[-1]),
        ]

    def _factor(self, m, index):
        """Reciprocal of the sum, shifted left by what its place is below the highest."""
        config = self.config
        bits, width = config.mantissa_bits, config.reciprocal_fraction_bits + 1
        place, mantissa = index[:len(index) - bits], index[len(index) - bits:]
        reciprocal = Signal(width)
        if bits <= TABLE_BITS:
            m.d.sync += reciprocal.eq(lookup(m, mantissa, config.reciprocals, name="reciprocal"))
            place = delays(m, place, 1, "place")[-1]
        else:
            ends, top = config.segment_ends, (config.reciprocal_segments - 1).bit_length()
            falls = [high - low for high, low in zip(ends[:-1], ends[1:], strict=True)]
            segment, rest = mantissa[bits - top:], mantissa[:bits - top]
            high, fall, below = (Signal(max(ends).bit_length()), Signal(max(falls).bit_length()),
                                 Signal(bits - top))
            m.d.sync += [high.eq(lookup(m, segment, ends[:-1], name="high")),
                         fall.eq(lookup(m, segment, falls, name="fall")), below.eq(rest)]
            product = Signal(len(fall) + len(below), name="fall_product")
            m.d.sync += product.eq(fall * below)
            start = delays(m, high, 1, "high")[-1] << (bits - top)
            m.d.sync += reciprocal.eq((start - product + (2 << (bits - top))) >> (bits - top + 2))
            place = delays(m, place, 3, "place")[-1]
        highest = config.factor_shift
        factor = Signal(width + highest)
        shifted = Cat(Const(0, highest), reciprocal)
        m.d.sync += factor.eq(shift_right(m, shifted, place))
        return factor
