"""Terms of a row of logits, relative to a running reference on whole octaves."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.barrel_shift import shift_left
from ...blocks.block_table import BlockTable
from ...blocks.lookup import lookup
from ...blocks.maximum import RunningMax
from ...blocks.pipeline import delays
from ...softmax.positions import TABLE_BITS, OctaveReferences, Positions
from .shift_sum import Move, move_of

__all__ = ["RowTerms"]

# Tables with larger addresses go to block RAM, if the lanes share one in pairs.
LOOKUP_BITS = TABLE_BITS + 1

# Positions are registered, even those that take wires: logits come out of LUT RAM.
POSITION_CYCLES = 1


class RowTerms(wiring.Component):
    """From the logits of a beat to their terms, and the rise of the reference.

    ``t(d) << octave``, with ``d`` the distance of a logit's position to the reference, ``t`` the
    ``terms`` of the numbers, and ``octave`` that of the reference within its block; 0 for a logit
    that takes no part, and far below the reference. The reference is the octave above the bucket of
    the largest logit of the row so far.

    Latency :attr:`latency` cycles, throughput one beat per cycle; never stalls.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.

    Members
    -------
    i : In(ArrayLayout(signed(bits), summands))
        Logits of a beat; the sink, if rows may have one, is the last.
    live : In(summands)
        The logit takes part.
    valid : In(1)
        There is a beat.
    first : In(1)
        The beat starts a row.
    o : Out(ArrayLayout(unsigned(term_bits), summands))
        Terms.
    o_valid : Out(1)
        ``valid``, with the terms.
    move : Out(Move)
        What becomes of the row's sums before they are added.
    """

    def __init__(self, numbers):
        self.numbers = numbers
        summands = numbers.summands
        super().__init__({
            "i": In(data.ArrayLayout(signed(numbers.bits), summands)), "live": In(summands),
            "valid": In(1), "first": In(1),
            "o": Out(data.ArrayLayout(unsigned(numbers.term_bits), summands)),
            "o_valid": Out(1), "move": Out(Move)})

    @staticmethod
    def stages(numbers):
        """Latency, in cycles."""
        maximum = RunningMax.stages(numbers.grid.bucket_bits, numbers.summands)
        reference = OctaveReferences(numbers.grid).latency
        return POSITION_CYCLES + maximum + reference + 1 + _table_cycles(numbers) + 1

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.numbers)

    def elaborate(self, platform):
        m = Module()
        numbers, grid = self.numbers, self.numbers.grid
        found = POSITION_CYCLES + RunningMax.stages(grid.bucket_bits, numbers.summands)
        references = OctaveReferences(grid)
        referred = found + references.latency
        # Behind the reference the distance is registered, then the term, its shift.
        looked_up = referred + 1 + _table_cycles(numbers)
        valids = delays(m, self.valid, looked_up + 1, "valid")
        firsts = delays(m, self.first, referred, "first")
        lives = delays(m, self.live, referred, "live")

        position = Positions(numbers, POSITION_CYCLES)
        positions, waiting = position(m, self.i, referred - position.latency)
        m.submodules.maximum = maximum = RunningMax(grid.bucket_bits, numbers.summands)
        m.d.comb += [
            *(word.eq(x[grid.bucket_shift:]) for word, x in
              zip(maximum.data, positions, strict=True)),
            maximum.live.eq(lives[position.latency]), maximum.valid.eq(valids[found]),
            maximum.first.eq(firsts[found])]
        octave, reference = references(m, maximum)
        words = self._words(m, reference, waiting, lives[referred])
        places = Signal(range(min(numbers.largest_octave + 1, numbers.block)))
        m.d.comb += places.eq(octave)
        place = delays(m, places, 1 + _table_cycles(numbers), "place")[-1]
        for k, word in enumerate(words):
            shifted = Signal(numbers.term_bits, name=f"shifted_{k}", reset_less=True)
            m.d.sync += shifted.eq(shift_left(m, word, place, numbers.term_bits, f"moved_{k}"))
            m.d.comb += self.o[k].eq(shifted)

        block = octave[numbers.block.bit_length() - 1:]
        before = Signal(max((numbers.largest_octave // numbers.block).bit_length(), 1))
        with m.If(valids[referred]):
            m.d.sync += before.eq(block)
        rise = Signal.like(before, name="rise")
        m.d.comb += [
            rise.eq(block - before), self.o_valid.eq(valids[-1]),
            self.move.eq(delays(m, move_of(firsts[-1], rise, numbers.reach),
                                2 + _table_cycles(numbers), "move")[-1])]
        return m

    def _words(self, m, reference, positions, live):
        """Term of each lane, a cycle for its distance and those of the table later."""
        numbers = self.numbers
        bits = (len(numbers.terms) - 1).bit_length()
        indices, near = [], []
        for k, position in enumerate(positions):
            distance = Signal(numbers.grid.reference_bits, name=f"distance_{k}")
            index = Signal(bits, name=f"index_{k}", reset_less=True)
            taken = Signal(name=f"near_{k}")
            m.d.comb += distance.eq(reference - position)
            m.d.sync += [index.eq(distance), taken.eq(live[k] & ~distance[bits:].any())]
            indices.append(index)
            near.append(taken)
        if bits <= LOOKUP_BITS:
            words = []
            for k, (index, taken) in enumerate(zip(indices, near, strict=True)):
                word = Signal(numbers.fraction_bits, name=f"term_{k}", reset_less=True)
                found = lookup(m, index, numbers.terms, name=f"term_word_{k}")
                m.d.sync += word.eq(Mux(taken, found, 0))
                words.append(word)
            return words
        words = [*numbers.terms, *[0] * ((1 << bits) - len(numbers.terms))]
        m.submodules.terms = table = BlockTable(words, numbers.fraction_bits, len(indices))
        m.d.comb += [port.eq(index) for port, index in zip(table.index, indices, strict=True)]
        late = delays(m, Cat(near), table.latency, "near")[-1]
        return [Mux(late[k], word, 0) for k, word in enumerate(table.o)]


def _table_cycles(numbers):
    """Cycles from an index to its term."""
    bits = (len(numbers.terms) - 1).bit_length()
    return 1 if bits <= LOOKUP_BITS else BlockTable.latency
