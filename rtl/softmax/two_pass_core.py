"""Hardware that the methods share which read a row twice."""

import typing

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data

from ..adder_tree import AdderTree
from ..leading_one import leading_one
from ..lookup import constant_multiple, lookup
from ..max_radix import MaxRadix
from ..max_tree import MaxTree, largest
from ..pipeline import delays
from ..row_queue import RowQueue
from ..row_store import RowStore
from ..row_unit import RowDatapath


__all__ = ["ExponentTableDatapath", "Schedule", "Stages", "TwoPassDatapath", "direct"]

# Distances of up to this many bits are looked up; wider ones are scaled to an index first.
DIRECT_BITS = 8

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 8


class Stages(typing.NamedTuple):
    """Cycles that a method takes, from one register to the next."""

    #: From a beat read out of the first store to its terms and codes.
    terms: int
    #: From the sum of a row to the row's result.
    result: int
    #: From a beat read out of the second store, with the row's result, to the output.
    outputs: int


class Schedule:
    """Pipeline stages: cycles after a row's only beat is accepted until a register holds its part.

    Either store is written as late as possible: a beat that is read meets what its row was waiting
    for in the cycle in which that is known.
    """

    def __init__(self, config):
        stages = config.stages
        radix = config.lanes >= RADIX_LANES
        self.candidates = (MaxRadix.stages(config.bits, relaxed=True) if radix else
                           MaxTree.stages(config.lanes))
        self.maximum = self.candidates + 1
        self.write = max(self.maximum - 1, 1)
        self.read = self.write + 3
        self.term = self.read + stages.terms
        self.beat_sum = self.term + AdderTree.stages(config.lanes, levels=1)
        self.sum = self.beat_sum + 1
        self.result = self.sum + stages.result
        self.late_write = max(self.result - 1, self.term)
        self.late_read = self.late_write + 3
        self.output = self.late_read + stages.outputs


class TwoPassDatapath(RowDatapath):
    """Maximum, terms relative to it and their sum, outputs made of the terms and the sum.

    First store: logits, until the row's maximum is known. Second store: a code of each element,
    until the row's result is known, which is a function of the sum.

    A subclass says the shape of a code (:attr:`code_shape`), the largest term
    (:attr:`largest_term`), and makes :meth:`terms`, :meth:`result` and :meth:`outputs`, which take
    as many cycles as ``config.stages`` says.
    """

    #: Shape of what is stored of an element during the second pass.
    code_shape = None
    #: Largest term of an element.
    largest_term = None

    def __init__(self, config):
        super().__init__(config)
        self.at = Schedule(config)

    def terms(self, m, distances, live):
        """Terms and codes of a beat's elements; both 0 where an element takes no part."""
        raise NotImplementedError

    def result(self, m, total):
        """Result of a row, from its sum."""
        raise NotImplementedError

    def outputs(self, m, codes, result):
        """Output registers of a beat, from its codes and its row's result."""
        raise NotImplementedError

    def _first_pass(self, m):
        """Beats read behind their row's maximum, whether each is its row's first, and distances."""
        config, at = self.config, self.at
        depth = 1 << (config.max_rows - 1).bit_length()
        valids = delays(m, self.valid, max(at.write, at.maximum), "valid")
        ends = delays(m, self.valid & self.end, max(at.write, at.maximum), "end")
        maximum = self._maximum(m, valids[at.candidates])
        m.submodules.maxima = maxima = RowQueue(config.bits, depth)
        beat = data.StructLayout({
            "data": data.ArrayLayout(unsigned(config.bits), config.lanes),
            "live": config.lanes, "keep": config.lanes, "last": 1})
        m.submodules.logits = store = RowStore(beat, config.max_beats, memory=config.memory)
        m.d.comb += [
            store.i.data.as_value().eq(delays(m, Cat(self._positions()), at.write, "logits")[-1]),
            store.i.live.eq(delays(m, self.live, at.write, "live")[-1]),
            store.i.keep.eq(delays(m, self.kept, at.write, "kept")[-1]),
            store.i.last.eq(ends[at.write]),
            store.write.eq(valids[at.write]), store.last.eq(ends[at.write]),
            maxima.i.eq(maximum), maxima.push.eq(ends[at.maximum]),
        ]
        read, first, final = self._read(m, store, beat, maxima, "final")
        distances = []
        for k in range(config.lanes):
            distances.append(Signal(config.bits, name=f"distance_{k}"))
            m.d.comb += distances[-1].eq(final - read.beat.data[k])
        return read, first, distances

    def elaborate(self, platform):
        m = Module()
        config, at = self.config, self.at
        depth = 1 << (config.max_rows - 1).bit_length()

        # Until the maximum is known.
        read, first, distances = self._first_pass(m)

        # Until the sum is known.
        wait = max(at.late_write, at.result) - at.read
        valids = delays(m, read.valid, wait, "read_valid")
        ends = delays(m, read.valid & read.beat.last, wait, "read_end")
        keeps = delays(m, read.beat.keep, at.late_write - at.read, "read_keep")
        terms, codes = self.terms(m, distances, read.beat.live)
        total = self._sum(m, terms, valids[at.beat_sum - at.read],
                          delays(m, first, at.beat_sum - at.read, "read_first")[-1])
        # A cycle after the sum, what is made of it in a register is that of a whole row.
        self.row_ended = ends[at.sum + 1 - at.read] if wait > at.sum - at.read else None
        result = self.result(m, total)
        m.submodules.results = results = RowQueue(len(result), depth)
        beat = data.StructLayout({
            "code": data.ArrayLayout(self.code_shape, config.lanes),
            "keep": config.lanes, "last": 1})
        m.submodules.codes = store = RowStore(beat, config.max_beats, memory=config.memory)
        m.d.comb += [
            store.i.code.as_value().eq(
                delays(m, Cat(codes), at.late_write - at.term, "codes")[-1]),
            store.i.keep.eq(keeps[-1]),
            store.i.last.eq(ends[at.late_write - at.read]),
            store.write.eq(valids[at.late_write - at.read]),
            store.last.eq(ends[at.late_write - at.read]),
            results.i.eq(result), results.push.eq(ends[at.result - at.read]),
            self.leaving.eq(results.pop),
        ]
        late, _, factor = self._read(m, store, beat, results, "result")

        # The outputs.
        outputs = self.outputs(m, [late.beat.code[k] for k in range(config.lanes)], factor)
        cycles = config.stages.outputs
        m.d.comb += [
            *(element.eq(output) for element, output in zip(self.o.data, outputs, strict=True)),
            self.o.keep.eq(delays(m, late.beat.keep, cycles, "late_keep")[-1]),
            self.o.last.eq(delays(m, late.beat.last, cycles, "late_last")[-1]),
            self.o_valid.eq(delays(m, late.valid, cycles, "late_valid")[-1]),
        ]
        return m

    def _positions(self):
        """Logits in offset binary, which orders them without a sign."""
        sign = 1 << (self.config.bits - 1)
        return [(x.as_unsigned() ^ sign)[:self.config.bits] for x in self.data]

    def _maximum(self, m, valid):
        """Running maximum of a row."""
        config, at = self.config, self.at
        first = delays(m, self.first, at.candidates, "first")[-1]
        maximum = Signal(config.bits)
        finder = (MaxRadix(config.bits, config.lanes, relaxed=True)
                  if config.lanes >= RADIX_LANES else MaxTree(config.bits, config.lanes))
        m.submodules.maximum = finder
        m.d.comb += [word.eq(x) for word, x in zip(finder.data, self._positions(),
                                                strict=True)]
        m.d.comb += finder.live.eq(self.live)
        if isinstance(finder, MaxRadix):
            # The least position is neutral, so that a beat without live elements needs no flag.
            with m.If(valid & (first | (finder.o > maximum))):
                m.d.sync += maximum.eq(finder.o)
        else:
            best, some = largest(m, [*finder.o, maximum], [*finder.o_live, ~first], "running")
            with m.If(valid):
                m.d.sync += maximum.eq(Mux(some, best, 0))
        return maximum

    def _read(self, m, store, layout, queue, name):
        """Beat that was read, registered; whether it is its row's first; what waited of its row."""
        # A register that does not start at 0 stays out of a DSP block, which takes too long to
        # accept what comes straight out of a block RAM.
        beat = Signal(layout, init={"last": 1}, name=f"{name}_beat")
        valid, first, starting = (Signal(name=f"{name}_valid"), Signal(name=f"{name}_first"),
                                  Signal(init=1, name=f"{name}_starting"))
        word = Signal(queue.width, name=name)
        with m.If(store.valid):
            m.d.sync += starting.eq(store.o.last)
        with m.If(starting):
            m.d.sync += word.eq(queue.o)
        m.d.comb += queue.pop.eq(store.valid & starting)
        m.d.sync += [beat.eq(store.o), valid.eq(store.valid), first.eq(starting)]
        return _Read(beat, valid), first, word

    def _sum(self, m, terms, valid, first):
        """Sum of the row so far."""
        config = self.config
        width = self.largest_term.bit_length()
        m.submodules.beat_sum = tree = AdderTree(width, config.lanes,
                                                largest=self.largest_term, levels=1)
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, terms, strict=True)]
        total = Signal((config.max_length * self.largest_term).bit_length())
        with m.If(valid):
            m.d.sync += total.eq(tree.o + Mux(first, 0, total))
        return total


class _Read(typing.NamedTuple):
    beat: Signal
    valid: Signal


# Exponent table -----------------------------------------------------------------------------------

def direct(config):
    """Whether distances are looked up as they are."""
    return (config.span - 1).bit_length() <= DIRECT_BITS


class ExponentTableDatapath(TwoPassDatapath):
    """Two-pass datapath of the methods with an exponent table and an indexed sum."""

    def looked_up(self, m, distances, live, words, name, width=None):
        """Word of each element by its index, registered; 0 where it takes no part.

        ``words`` are those of the entries of the exponent table, or what belongs to them.
        """
        config = self.config
        if direct(config):
            words = [words[config.index(d)] for d in range(config.span)] + [words[-1]]
            indices = distances
        else:
            indices, live = self._indices(m, distances, live, name)
            words = list(words)
        # All from where the words stay the same is beyond the table.
        tail = words[-1]
        while len(words) > 1 and words[-1] == tail:
            words.pop()
        bits = (len(words) - 1).bit_length()
        words += [tail] * ((1 << bits) - len(words))
        results = []
        for k, index in enumerate(indices):
            result = Signal(width or max(max(words), 1).bit_length(), name=f"{name}_{k}",
                            reset_less=True)
            far = index[bits:].any()
            word = lookup(m, index[:bits], words, name=f"{name}_word_{k}") if bits else words[0]
            with m.If(~live[k] | (far if not tail else 0)):
                m.d.sync += result.eq(0)
            with m.Elif(far if tail else 0):
                m.d.sync += result.eq(tail)
            with m.Else():
                m.d.sync += result.eq(word)
            results.append(result)
        return results

    def _indices(self, m, distances, live, name):
        """Registered indices of distances that are too wide for a table."""
        config = self.config
        multiplier, shift = config.index_factors
        half = 1 << shift >> 1 if config.exp_index == "round" else 0
        last = config.entries - 1
        indices = []
        for k, distance in enumerate(distances):
            scaled = (constant_multiple(distance, multiplier) + half) >> shift
            index = Signal(last.bit_length(), name=f"{name}_index_{k}")
            m.d.sync += index.eq(Mux(scaled >= last, last, scaled))
            indices.append(index)
        return indices, delays(m, live, 1, f"{name}_live")[-1]

    def sum_index(self, m, total, linear, least, last):
        """Index of a row's sum, registered: floating, or ``linear`` kept within its bounds."""
        if self.config.sum_index == "floating":
            value = self._floating_index(m, total)
        else:
            value = Mux(linear < least, least, linear)
            if last < (1 << len(linear)) - 1:
                value = Mux(linear > last, last, value)
            value = value[:last.bit_length()]
        index = Signal(len(value), name="sum_index")
        m.d.sync += index.eq(value)
        return index

    def _floating_index(self, m, total):
        """Place of the leading one of a sum, from the lowest, and the bits below it."""
        lowest, _ = self.config.sum_places
        below = self.config.sum_mantissa_bits
        tail = Cat(Const(0, max(below - lowest, 0)), total[max(lowest - below, 0):lowest])
        place, fraction = leading_one(m, total[lowest:], tail, below)
        return Cat(fraction, place)
