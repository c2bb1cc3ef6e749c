"""Logarithm of a row's sum of exponentials, in base 2, one logit per cycle."""

import dataclasses
import functools
import math
from fractions import Fraction

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.chained_product import ChainedProduct
from ..blocks.leading_one import leading_one
from ..blocks.online_sum import OnlineSum
from ..blocks.pipeline import delays
from ..fixed import half, half_up, round_shift, signed_range, signed_width
from ..tables import exp2_words, ln2, log2_ratio

__all__ = ["LogNumbers", "LogPartition"]

# Fraction bits of a position: of an octave in the table of powers, of the sum in the other one.
FRACTION_BITS = 10

# Fraction bits of a power of two, and bits of a term below them that a sum keeps.
POWER_BITS = 16
GUARD_BITS = 8

# Fraction bits of a logarithm to base 2, and significant bits of the constant factors.
LOG2_BITS = 16
FACTOR_BITS = 20


@functools.cache
def _powers():
    size = 1 << FRACTION_BITS
    words = exp2_words((Fraction(-j, size) for j in range(size)), 1 << POWER_BITS)
    return tuple(min(word, (2 << POWER_BITS) - 1) - (1 << POWER_BITS) for word in words)


@functools.cache
def _logarithms():
    size = 1 << FRACTION_BITS
    return tuple(half_up(log2_ratio(2 * (size + j) + 1, 2 * size) * (1 << LOG2_BITS))
                 for j in range(size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogNumbers:
    """Numbers of ``L = ln sum_i exp(m_i)``, in octaves relative to the largest one so far.

    ::

        u_i = round(m_i * K / 2**k)         position: e_i octaves and a fraction of 10 bits
        r   = running maximum of e_i        S = (S >> rise of r) + (2**frac(u_i) >> (r - e_i))
        L   = round((r + log2 S) * G / 2**g)

    Powers and logarithms come from tables of 1024 words, the logarithm by the 10 bits below the
    leading one of ``S``. Terms, and ``S`` as ``r`` rises, are truncated at ``2**-24``.

    Attributes
    ----------
    bits : int
        Width of a logit, signed.
    logit_scale : float
        Real value of a logit step.
    log_scale : float
        Real value of a step of the result.
    max_length : int
        Terms at most.
    """

    bits: int
    logit_scale: float
    log_scale: float
    max_length: int

    @staticmethod
    def _factor(ratio):
        """Factor of :data:`FACTOR_BITS` significant bits, and shift."""
        shift = FACTOR_BITS - 1 - math.floor(math.log2(ratio))
        return half_up(ratio * Fraction(2) ** shift), shift

    @functools.cached_property
    def position_factor(self):
        """``(K, k)``: from logit steps to positions."""
        return self._factor(Fraction(self.logit_scale) / ln2() * (1 << FRACTION_BITS))

    @functools.cached_property
    def log_factor(self):
        """``(G, g)``: from logarithms to base 2, with :data:`LOG2_BITS` fraction bits."""
        return self._factor(ln2() / Fraction(self.log_scale) / (1 << LOG2_BITS))

    def position(self, logit):
        """Position of a logit, signed. Works on arrays."""
        factor, shift = self.position_factor
        return round_shift(logit * factor, shift)

    @property
    def octave_range(self):
        """Least and largest octave."""
        return tuple(self.position(x) >> FRACTION_BITS for x in signed_range(self.bits))

    @property
    def octave_bits(self):
        """Width of an octave, signed."""
        return signed_width(*self.octave_range)

    @property
    def powers(self):
        """``2**(j / 1024)`` less 1, with :data:`POWER_BITS` fraction bits."""
        return _powers()

    @property
    def term_bits(self):
        """Width of a term: a power of two below 2 with its guard bits."""
        return 1 + POWER_BITS + GUARD_BITS

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow."""
        return (self.max_length * ((1 << self.term_bits) - 1)).bit_length()

    @property
    def logarithms(self):
        """``log2(1 + (j + 1/2) / 1024)``, with :data:`LOG2_BITS` fraction bits."""
        return _logarithms()

    def log2(self, octave, place, fraction):
        """Logarithm to base 2: reference ``octave``, ``place`` of the sum's leading one, and the
        word of :attr:`logarithms` for the bits below. Works on arrays."""
        return ((octave + place - POWER_BITS - GUARD_BITS) << LOG2_BITS) + fraction

    def result(self, log2):
        """Result from :meth:`log2`. Works on arrays."""
        factor, shift = self.log_factor
        return round_shift(log2 * factor, shift)

    @property
    def log2_range(self):
        """Least and largest :meth:`log2`."""
        low, high = self.octave_range
        # A sum has one term at least, which is at the reference.
        return (self.log2(low, POWER_BITS + GUARD_BITS, 0),
                self.log2(high, self.sum_bits - 1, (1 << LOG2_BITS) - 1))

    @property
    def result_bits(self):
        """Width of the result, signed."""
        return signed_width(*map(self.result, self.log2_range))


class LogPartition(wiring.Component):
    """Log-partition of rows of logits, one logit per cycle; see :class:`LogNumbers`.

    Latency :attr:`latency` cycles from a row's last logit to ``o``; throughput one logit per cycle,
    rows of at least :attr:`latency` cycles from one last logit to the next; never stalls.

    Parameters
    ----------
    numbers : LogNumbers
        Numbers of the unit.

    Members
    -------
    i : In(signed(numbers.bits))
        Logit.
    valid : In(1)
        ``i`` holds a logit.
    first : In(1)
        It is the first of its row.
    last : In(1)
        It is the last of its row.
    o : Out(signed(numbers.result_bits))
        Log-partition of the last row; held until the next one's.
    done : Out(1)
        Pulses in the first cycle of a row's ``o``.
    """

    #: Cycles from the logit to its octave, from there to its term, and from a sum to its logarithm.
    POSITION, TERM, LOGARITHM = 3, 3, 4

    def __init__(self, numbers):
        self.numbers = numbers
        factor, shift = numbers.log_factor
        self._product = ChainedProduct(numbers.log2_range, (factor, factor), addend=half(shift),
                                       dropped=shift)
        super().__init__({"i": In(signed(numbers.bits)), "valid": In(1), "first": In(1),
                          "last": In(1), "o": Out(signed(numbers.result_bits)), "done": Out(1)})

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.POSITION + self.TERM + 1 + self.LOGARITHM + self._product.latency + 1

    def elaborate(self, platform):
        m = Module()
        numbers = self.numbers
        valids = delays(m, self.valid, self.POSITION + self.TERM, "valid")
        firsts = delays(m, self.first, self.POSITION + self.TERM, "first")
        ends = delays(m, self.valid & self.last, self.latency - 1, "end")

        # Positions: a DSP block's registers, and the rounding in its adder.
        factor, shift = numbers.position_factor
        logit = Signal.like(self.i, reset_less=True)
        product = Signal(signed(numbers.bits + factor.bit_length() + 1), reset_less=True)
        position = Signal(signed(numbers.octave_bits + FRACTION_BITS), reset_less=True)
        m.d.sync += [logit.eq(self.i), product.eq(logit * Const(factor)),
                     position.eq(round_shift(product, shift))]

        # Octaves, their running maximum, and how far it rises.
        octave = position[FRACTION_BITS:].as_signed()
        level = Signal(signed(numbers.octave_bits))
        rise = Signal(range(1 << numbers.octave_bits))
        own = Signal.like(octave, name="own", reset_less=True)
        higher = Signal()
        m.d.comb += higher.eq(firsts[self.POSITION] | (octave > level))
        m.d.sync += own.eq(octave)
        with m.If(valids[self.POSITION] & higher):
            m.d.sync += level.eq(octave)
        m.d.sync += rise.eq(Mux(higher, octave - level, 0))

        # Terms, relative to the maximum.
        m.submodules.powers = powers = _rom(numbers.powers, POWER_BITS)
        port = powers.read_port()
        m.d.comb += port.addr.eq(position[:FRACTION_BITS])
        power = Signal(POWER_BITS, reset_less=True)
        distance = Signal(range(numbers.term_bits + 1), reset_less=True)
        gap = Signal(range(1 << numbers.octave_bits))
        m.d.comb += gap.eq(level - own)
        m.d.sync += [power.eq(port.data), distance.eq(Mux(gap > numbers.term_bits,
                                                          numbers.term_bits, gap))]
        term = Signal(numbers.term_bits, reset_less=True)
        m.d.sync += term.eq(Cat(Const(0, GUARD_BITS), power, Const(1, 1)) >> distance)

        m.submodules.sum = total = OnlineSum(numbers.term_bits, numbers.sum_bits, len(rise))
        at = self.POSITION + self.TERM - OnlineSum.lead(1)
        m.d.comb += [
            total.valid.eq(valids[at]), total.first.eq(firsts[at]),
            total.rise.eq(delays(m, rise, 1, "rise")[-1]),
            total.i_valid.eq(valids[at + 1]), total.i_first.eq(firsts[at + 1]), total.i.eq(term),
        ]

        # Logarithm: the leading one, the word for the bits below it, the factor.
        held = Signal.like(total.o)
        reference = Signal.like(level, name="reference")
        m.d.sync += held.eq(total.o)
        with m.If(ends[self.POSITION + 1]):
            m.d.sync += reference.eq(level)
        place, fraction = leading_one(m, held, Const(0, FRACTION_BITS), FRACTION_BITS,
                                      rests=(1, 3))
        m.submodules.logarithms = logarithms = _rom(numbers.logarithms, LOG2_BITS)
        read = logarithms.read_port()
        m.d.comb += read.addr.eq(fraction)
        octaves = Signal(signed(signed_width(*numbers.log2_range) - LOG2_BITS))
        m.d.sync += octaves.eq(reference + place - (POWER_BITS + GUARD_BITS))
        m.submodules.product = product = self._product
        m.d.comb += [product.a.eq(Cat(read.data, octaves)), product.b.eq(numbers.log_factor[0])]
        assert at + 2 + self.LOGARITHM + product.latency == len(ends) - 1
        with m.If(ends[-1]):
            m.d.sync += self.o.eq(product.o)
        m.d.sync += self.done.eq(ends[-1])
        return m


def _rom(words, bits):
    """Memory of constant words, in block RAM."""
    return memory.Memory(shape=bits, depth=len(words), init=words,
                         attrs={"ram_style": "block"})
