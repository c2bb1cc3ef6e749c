"""Division of a row's results by the row's sum, and requantisation, in one multiplication.

One description for the model (:meth:`RowDivision.__call__`; on arrays,
:func:`sim.model.attention.reuse.divided`) and the hardware (:class:`RowFactor`, once a row, and
:class:`RowDivisionPipeline`).
"""

import dataclasses
import functools
from fractions import Fraction

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.barrel_shift import shift_right
from ...blocks.block_table import BlockTable
from ...blocks.leading_one import normalised
from ...blocks.pipeline import delays
from ...fixed import clip, half_up, round_shift, saturated, signed_range, signed_width

__all__ = ["RowDivision", "RowDivisionPipeline", "RowFactor"]

# Bits of a factor: what a DSP block's narrow port takes, signed.
FACTOR_BITS = 17


@dataclasses.dataclass(frozen=True)
class RowDivision:
    """``y = saturate(round(x * ratio / total))``, rounded half up.

    The sum is taken as ``2**place * (1 + m)`` with the ten bits of ``m`` below the leading one. A
    factor of 17 bits stands for ``ratio / (1 + m)``, at the middle of the interval that these bits
    leave: a relative error of at most ``2**-11 + 2**-17``.

    Attributes
    ----------
    ratio : Fraction
        What a quotient of 1 is worth, in steps of the result.
    least, largest : int
        Range of the sum of a row that has one, at least 1. A sum of 0 comes with ``x = 0``.
    bits : int
        Width of the result, signed, which saturates.
    """

    #: Bits of a sum below its leading one that are looked at.
    MANTISSA_BITS = 10

    ratio: Fraction
    least: int
    largest: int
    bits: int

    @functools.cached_property
    def scale(self):
        """Binary places of a factor: the largest with which it has :data:`FACTOR_BITS` bits."""
        place = self.ratio.numerator.bit_length() - self.ratio.denominator.bit_length()
        scale = FACTOR_BITS - 1 - place
        while self.ratio * Fraction(2) ** scale >= 1 << FACTOR_BITS:
            scale -= 1
        while self.ratio * Fraction(2) ** (scale + 1) < 1 << FACTOR_BITS:
            scale += 1
        return scale

    @functools.cached_property
    def factors(self):
        """Factor of each mantissa."""
        size = 1 << self.MANTISSA_BITS
        scaled = self.ratio * Fraction(2) ** self.scale
        return tuple(half_up(scaled / (1 + Fraction(2 * i + 1, 2 * size))) for i in range(size))

    @property
    def places(self):
        """Least and largest place of the leading one of a sum."""
        return self.least.bit_length() - 1, self.largest.bit_length() - 1

    @property
    def shift(self):
        """Right shift of a product, less one, at the least place. Not negative."""
        return self.scale + self.places[0] - 1

    @property
    def factor_layout(self):
        """What a row's results have in common: ``word``, and ``place`` above the least one."""
        low, high = self.places
        return data.StructLayout({"word": FACTOR_BITS, "place": range(high - low + 1)})

    @property
    def stages(self):
        """Cycles from a weighted sum to its result."""
        return RowDivisionPipeline.LATENCY

    def pipeline(self, low, high):
        """Hardware for arguments of ``low..high``."""
        return RowDivisionPipeline(self, low, high)

    def __call__(self, x, total):
        """Result for an integer and its row's sum."""
        place = max(total.bit_length() - 1, self.places[0])
        bits = self.MANTISSA_BITS
        mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
        product = x * self.factors[mantissa]
        return clip(round_shift(product, self.shift + 1 + place - self.places[0]),
                    *signed_range(self.bits))


class RowFactor(wiring.Component):
    """Factor and place of a row's sum.

    Latency :attr:`LATENCY` cycles, throughput one row per cycle; never stalls.

    Parameters
    ----------
    division : RowDivision
        Division that the factor is for.

    Members
    -------
    total : In(places[1] + 1)
        Sum of a row, unsigned.
    o : Out(StructLayout)
        ``word``, the factor (17 bits), and ``place`` of the leading one above the least place.
    """

    LATENCY = 1 + BlockTable.latency

    def __init__(self, division):
        self.division = division
        super().__init__({"total": In(division.places[1] + 1),
                          "o": Out(division.factor_layout)})

    def elaborate(self, platform):
        m = Module()
        division = self.division
        place, mantissa = normalised(m, self.total, division.places[0],
                                     division.MANTISSA_BITS)
        m.submodules.factors = table = BlockTable(division.factors, FACTOR_BITS, 1)
        m.d.comb += [table.index[0].eq(delays(m, mantissa, 1, "row_mantissa")[-1]),
                     self.o.word.eq(table.o[0])]
        m.d.comb += self.o.place.eq(delays(m, place, self.LATENCY, "row_place")[-1])
        return m


class RowDivisionPipeline(wiring.Component):
    """Hardware of a :class:`RowDivision`, behind :class:`RowFactor`.

    Latency :attr:`LATENCY` cycles, throughput one result per cycle; never stalls.

    Parameters
    ----------
    division : RowDivision
        What to compute.
    low, high : int
        Range of the argument.

    Members
    -------
    i : In(signed(signed_width(low, high)))
        Argument.
    factor : In(StructLayout)
        ``word`` and ``place`` of its row, as :class:`RowFactor` puts them out, with ``i``.
    o : Out(signed(division.bits))
        Result, rounded half up, saturated.
    """

    LATENCY = 6

    def __init__(self, division, low, high):
        self.division = division
        self.low, self.high = low, high
        super().__init__({"i": In(signed(signed_width(low, high))),
                          "factor": In(division.factor_layout),
                          "o": Out(signed(division.bits))})

    def elaborate(self, platform):
        m = Module()
        division = self.division
        most = max(abs(self.low), self.high) << FACTOR_BITS
        x = Signal.like(self.i, name="x", reset_less=True)
        word = Signal(FACTOR_BITS, reset_less=True)
        product = Signal(signed(signed_width(-most, most)), reset_less=True)
        held = Signal.like(product, name="held", reset_less=True)
        m.d.sync += [x.eq(self.i), word.eq(self.factor.word), product.eq(x * word),
                     held.eq(product)]
        # The barrel shifter takes unsigned words: the sign goes around it.
        place = delays(m, self.factor.place, 3, "place")[-1]
        value = held >> division.shift
        negative = held[-1]
        flipped = Signal(len(value))
        shifted = Signal.like(flipped)
        m.d.comb += flipped.eq(value ^ negative.replicate(len(value)))
        m.d.sync += shifted.eq(shift_right(m, flipped, place)
                               ^ negative.replicate(len(value)))
        rounded = Signal(signed(len(shifted) + 1), reset_less=True)
        m.d.sync += rounded.eq((shifted.as_signed() + 1) >> 1)
        m.d.sync += self.o.eq(saturated(rounded, division.bits))
        return m
