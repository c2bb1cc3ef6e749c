"""Fixed point: rounding, saturation, the range of a width and the width of a range.

Written once, for configurations (integers and fractions), models (int64 arrays) and hardware
(Amaranth values) alike. ``half up`` is ``floor(x + 1/2)``.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import TypeVar

from amaranth import Cat, Mux, Value

__all__ = ["MULTIPLIER_BITS", "SHIFT_BITS", "Requantiser", "Scaling", "clip", "half", "half_up",
           "requantised", "round_shift", "saturated", "signed_range", "signed_width",
           "unsigned_range"]


# Significant bits of a requantiser's multiplier: as many unsigned ones fit the narrow, signed port
# of a DSP block.
MULTIPLIER_BITS = 16

# Width of the shift of a requantiser whose parameters are given at run time.
SHIFT_BITS = 6

# An integer, an int64 array or an Amaranth value. Arrays are not named here: NumPy is not imported.
Number = TypeVar("Number")


# Rounding ---------------------------------------------------------------------------------------

def half_up(value: int | float | Fraction) -> int:
    """``floor(value + 1/2)``, computed exactly."""
    return math.floor(Fraction(value) + Fraction(1, 2))


def half(shift: int) -> int:
    """Addend that makes a right shift by ``shift`` round half up: ``2**(shift - 1)``, or 0."""
    return (1 << shift) >> 1


def round_shift(value: Number, shift: int, rounding: str = "round") -> Number:
    """``value / 2**shift``, rounded half up ("round") or towards minus infinity ("truncate").

    Takes integers, arrays and Amaranth values.
    """
    if shift and rounding == "round":
        value = value + half(shift)
    return value >> shift


# Ranges -----------------------------------------------------------------------------------------

def product_ends(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Least and largest product of values of two ranges."""
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)



def signed_range(bits: int) -> tuple[int, int]:
    """Least and largest signed integer of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def unsigned_range(bits: int) -> tuple[int, int]:
    """Least and largest unsigned integer of ``bits`` bits."""
    return 0, (1 << bits) - 1


def signed_width(low: int, high: int) -> int:
    """Bits of the narrowest signed integer that holds ``low`` and ``high``."""
    return 1 + max(int(end if end >= 0 else ~end).bit_length() for end in (low, high))


# Saturation -------------------------------------------------------------------------------------

def clip(value: Number, low: int, high: int) -> Number:
    """``value``, an integer or an array, saturated to ``low..high``."""
    if isinstance(value, int):
        return min(max(value, low), high)
    return value.clip(low, high)


def saturated(value: Value, bits: int) -> Value:
    """Signed Amaranth value saturated to ``bits`` bits. Combinational."""
    if len(value) <= bits:
        return value
    negative, top = value[-1], value[bits - 1:-1]
    fits = Mux(negative, top.all(), ~top.any())
    end = Cat((~negative).replicate(bits - 1), negative)
    return Mux(fits, value[:bits], end).as_signed()


# Requantisation ---------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Requantiser:
    """Conversion of wide integers of one step size to narrow ones of another.

    ``y = saturate(floor((x * multiplier + half(shift)) / 2**shift))``: rounded half up. The
    hardware is :class:`rtl.blocks.requantise.RequantiserPipeline`.

    Attributes
    ----------
    multiplier : int
        Numerator of the ratio of step sizes; of :meth:`of_square` odd, unless ``shift`` is 0: 1
        for ``2**-shift``.
    shift : int
        Fraction bits of the ratio.
    bits : int
        Width of the result, signed; results beyond it saturate.
    """

    multiplier: int
    shift: int
    bits: int

    @classmethod
    def of_square(cls, square: Fraction, bits: int) -> Requantiser:
        """Requantiser by the ratio ``sqrt(square)``, rounded to 16 significant bits.

        The square is exact: the root of a head dimension need not be rational.
        """
        square = Fraction(square)
        # An estimate of the root's leading bit; the loops correct it.
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
    def normalised(self) -> Requantiser:
        """The same ratio with the top bit of a multiplier of 16 bits set."""
        # A multiplier that is wider ends in zeros: it stands for a power of two.
        up = MULTIPLIER_BITS - self.multiplier.bit_length()
        number = self.multiplier << up if up >= 0 else self.multiplier >> -up
        return dataclasses.replace(self, multiplier=number, shift=self.shift + up)

    @property
    def half(self) -> int:
        """Addend before the shift, to round half up."""
        return half(self.shift)

    def __call__(self, x: Number) -> Number:
        """Requantise an integer or an int64 array."""
        return clip(round_shift(x * self.multiplier, self.shift), *signed_range(self.bits))


def requantised(x: Number, multiplier: Number, shift: Number, bits: int,
                offset: Number = 0) -> Number:
    """``saturate(floor(x * multiplier / 2**shift + 1/2) + offset)``, signed with ``bits`` bits.

    Exact for int64 arrays while ``x * multiplier`` is below ``2**63`` in magnitude, whatever the
    shift: ``x`` of 48 bits, ``multiplier`` of 16. Every argument but ``bits`` may be an array. The
    hardware is :class:`rtl.blocks.runtime_requantise.RuntimeRequantiser`.
    """
    # A right shift by one less leaves the rounding bit, so half a step never has to be added.
    rounds = shift > 0
    rounded = ((x * multiplier >> (shift - rounds)) + rounds) >> rounds
    return clip(rounded + offset, *signed_range(bits))


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Parameters of a requantiser at run time: ``x * multiplier / 2**shift + offset``.

    Attributes
    ----------
    multiplier : int
        1..65535, unsigned.
    shift : int
        0..63.
    offset : int
        In steps of the result, added before it saturates.

    Raises
    ------
    ValueError
        If the multiplier or the shift is out of range.
    """

    multiplier: int
    shift: int
    offset: int = 0

    def __post_init__(self) -> None:
        for name, low, bits in ("multiplier", 1, MULTIPLIER_BITS), ("shift", 0, SHIFT_BITS):
            value, high = getattr(self, name), (1 << bits) - 1
            if not low <= value <= high:
                raise ValueError(f"Scaling: {name} must be {low}..{high}, not {value}")

    @classmethod
    def of(cls, ratio: float | Fraction, offset: int = 0) -> Scaling:
        """Scaling by a positive ratio, rounded half up to 16 significant bits.

        A ratio from ``2**-48`` to 65535 has them all; down to ``2**-63`` it has fewer.
        """
        ratio = Fraction(ratio)
        for shift in range((1 << SHIFT_BITS) - 1, -1, -1):
            multiplier = half_up(ratio * (1 << shift))
            if multiplier < 1 << MULTIPLIER_BITS:
                return cls(multiplier, shift, offset)
        raise ValueError(f"Scaling: ratio must be at most {(1 << MULTIPLIER_BITS) - 1}, "
                         f"not {float(ratio)}")

    def __call__(self, x: Number, bits: int) -> Number:
        """Requantise an integer or an int64 array to ``bits`` bits, signed."""
        return requantised(x, self.multiplier, self.shift, bits, self.offset)


def _root(square: Fraction, shift: int) -> int:
    """``sqrt(square) * 2**shift``, rounded to the nearest integer."""
    scaled = square * Fraction(4) ** (shift + 1)
    return (math.isqrt(scaled.numerator // scaled.denominator) + 1) >> 1
