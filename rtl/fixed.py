"""Fixed point: rounding, saturation, the range of a width and the width of a range.

Written once, for configurations (integers and fractions), models (int64 arrays) and hardware
(Amaranth values) alike. ``half up`` is ``floor(x + 1/2)``.
"""

import dataclasses
import math
from fractions import Fraction

from amaranth import Cat, Mux

__all__ = ["Requantiser", "clip", "half", "half_up", "round_shift", "saturated", "signed_range",
           "signed_width", "unsigned_range"]


# Significant bits of a requantiser's multiplier: what a DSP block's narrow port takes, signed.
MULTIPLIER_BITS = 16


# Rounding ---------------------------------------------------------------------------------------

def half_up(value):
    """Nearest integer of a number, half up; exact for integers and fractions."""
    return math.floor(Fraction(value) + Fraction(1, 2))


def half(shift):
    """What is added before a right shift by ``shift`` for the result to be rounded half up."""
    return (1 << shift) >> 1


def round_shift(value, shift, rounding="round"):
    """``value / 2**shift``, rounded half up ("round") or towards minus infinity ("truncate").

    Takes integers, arrays and Amaranth values.
    """
    if shift and rounding == "round":
        value = value + half(shift)
    return value >> shift


# Ranges -----------------------------------------------------------------------------------------

def signed_range(bits):
    """Least and largest signed integer of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def unsigned_range(bits):
    """Least and largest unsigned integer of ``bits`` bits."""
    return 0, (1 << bits) - 1


def signed_width(low, high):
    """Bits of the narrowest signed integer that holds ``low`` and ``high``."""
    return 1 + max(int(end if end >= 0 else ~end).bit_length() for end in (low, high))


# Saturation -------------------------------------------------------------------------------------

def clip(value, low, high):
    """``value``, an integer or an array, or the nearest end of ``low..high``."""
    if isinstance(value, int):
        return min(max(value, low), high)
    return value.clip(low, high)


def saturated(value, bits):
    """Signed Amaranth value of at most ``bits`` bits: ``value``, or the nearest end.

    Combinational.
    """
    if len(value) <= bits:
        return value
    negative, top = value[-1], value[bits - 1:-1]
    fits = Mux(negative, top.all(), ~top.any())
    end = Cat((~negative).replicate(bits - 1), negative)
    return Mux(fits, value[:bits], end).as_signed()


# Requantisation ---------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Requantiser:
    """A wide integer in steps of one size to a narrow one in steps of another.

    ``y = saturate(floor((x * multiplier + 2**(shift - 1)) / 2**shift))``: rounded half up. The
    hardware is :class:`rtl.blocks.requantise.RequantiserPipeline`.

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
    def half(self):
        """What is added for the result to be rounded half up."""
        return half(self.shift)

    def __call__(self, x):
        """Result for an integer, or for an int64 array."""
        return clip(round_shift(x * self.multiplier, self.shift), *signed_range(self.bits))


def _root(square, shift):
    """``sqrt(square) * 2**shift``, rounded to the nearest integer."""
    scaled = square * Fraction(4) ** (shift + 1)
    return (math.isqrt(scaled.numerator // scaled.denominator) + 1) >> 1
