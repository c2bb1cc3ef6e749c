"""Requantisation: a wide integer in steps of one size to a narrow one in steps of another.

One function for the model (:meth:`Requantiser.__call__`, on integers and arrays) and the hardware
(:class:`RequantiserPipeline`), from the same two numbers.
"""

import dataclasses
import math
from fractions import Fraction

from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Requantiser", "RequantiserPipeline", "saturated", "signed_width"]

# Significant bits of a multiplier: what a DSP block's narrow port takes, signed.
MULTIPLIER_BITS = 16


def signed_width(low, high):
    """Bits of the narrowest signed integer that holds ``low`` and ``high``."""
    return 1 + max(int(high).bit_length(), int(-low - 1).bit_length() if low < 0 else 0)


def saturated(value, bits):
    """Signed value of at most ``bits`` bits: ``value``, or the nearest end. Combinational."""
    if len(value) <= bits:
        return value
    negative, top = value[-1], value[bits - 1:-1]
    fits = Mux(negative, top.all(), ~top.any())
    end = Cat((~negative).replicate(bits - 1), negative)
    return Mux(fits, value[:bits], end).as_signed()


@dataclasses.dataclass(frozen=True)
class Requantiser:
    """``y = saturate(floor((x * multiplier + 2**(shift - 1)) / 2**shift))``: rounded half up.

    Attributes
    ----------
    multiplier, shift : int
        A ratio of step sizes. The multiplier is odd, or the shift 0; a power of two has 1.
    bits : int
        Width of the result, signed; what is beyond its range becomes the nearest end of it.
    """

    multiplier: int
    shift: int
    bits: int

    @classmethod
    def of_square(cls, square, bits):
        """Requantiser by the root of ``square``, a fraction, to 16 significant bits.

        The ratio is given by its square since the root of a head dimension need not be rational.
        """
        square = Fraction(square)
        # Close enough to find the place of the leading bit; the loop corrects it.
        place = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
        shift = MULTIPLIER_BITS - 1 - place
        while (multiplier := _root(square, shift)) >> MULTIPLIER_BITS:
            shift -= 1
        while (finer := _root(square, shift + 1)) < 1 << MULTIPLIER_BITS:
            multiplier, shift = finer, shift + 1
        while shift > 0 and not multiplier & 1:
            multiplier, shift = multiplier >> 1, shift - 1
        return cls(multiplier << max(-shift, 0), max(shift, 0), bits)

    @property
    def low(self):
        """Least result."""
        return -(1 << (self.bits - 1))

    @property
    def high(self):
        """Largest result."""
        return (1 << (self.bits - 1)) - 1

    @property
    def half(self):
        """What is added for the result to be rounded half up."""
        return 1 << (self.shift - 1) if self.shift else 0

    def __call__(self, x):
        """Result for an integer, or for an int64 array."""
        y = (x * self.multiplier + self.half) >> self.shift
        if isinstance(y, int):
            return min(max(y, self.low), self.high)
        return y.clip(self.low, self.high)


def _root(square, shift):
    """``sqrt(square) * 2**shift``, rounded to the nearest integer."""
    scaled = square * Fraction(4) ** (shift + 1)
    return (math.isqrt(scaled.numerator // scaled.denominator) + 1) >> 1


class RequantiserPipeline(wiring.Component):
    """Hardware of a :class:`Requantiser`.

    Latency :attr:`latency` cycles, throughput one result per cycle; never stalls. Only a ratio that
    is no power of two takes a multiplier, whose registers suit a DSP block.

    Parameters
    ----------
    requantiser : Requantiser
        What to compute.
    low, high : int
        Range of the argument ``x``.
    shape : ShapeLike
        Shape of the port, which carries ``x + offset``.
    offset : int
        Constant to take off the port's value.

    Members
    -------
    i : In(shape)
    o : Out(signed(requantiser.bits))
    """

    def __init__(self, requantiser, low, high, shape, offset=0):
        self.requantiser = requantiser
        self.low, self.high = low, high
        self.offset = offset
        super().__init__({"i": In(Shape.cast(shape)), "o": Out(signed(requantiser.bits))})

    @staticmethod
    def stages(requantiser):
        """Latency, in cycles."""
        return 2 if requantiser.multiplier == 1 else 4

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.requantiser)

    def elaborate(self, platform):
        m = Module()
        rule = self.requantiser
        # The least and the largest number before the shift, and a width that is not shifted empty.
        ends = [x * rule.multiplier + rule.half for x in (self.low, self.high)]
        width = max(signed_width(*ends), rule.shift + 1)
        scaled = Signal(signed(width))
        if rule.multiplier == 1:
            m.d.comb += scaled.eq(self.i + (rule.half - self.offset))
        else:
            x = Signal(signed(signed_width(self.low, self.high)), reset_less=True)
            product = Signal(signed(width), reset_less=True)
            total = Signal(signed(width), reset_less=True)
            m.d.sync += [x.eq(self.i - self.offset), product.eq(x * rule.multiplier),
                         total.eq(product + rule.half)]
            m.d.comb += scaled.eq(total)

        rounded = scaled[rule.shift:].as_signed()
        if rule.multiplier == 1:
            held = Signal(signed(len(rounded)), reset_less=True)
            m.d.sync += held.eq(rounded)
            rounded = held
        m.d.sync += self.o.eq(saturated(rounded, rule.bits))
        return m
