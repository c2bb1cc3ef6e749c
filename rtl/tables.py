"""Words of the tables in the units, computed in exact or 50-digit arithmetic."""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction

from .fixed import half_up

__all__ = ["exp2_words", "exp_words", "ln2", "log2_ratio", "newton_words", "quotient_word",
           "reciprocal_words", "root", "rsqrt_words"]


Number = int | float | Fraction

_CONTEXT = decimal.Context(prec=50)


def _decimal(value: Number) -> Decimal:
    """``value`` as a 50-digit decimal."""
    value = Fraction(value)
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _round(value: Decimal, rounding: str) -> int:
    # As decimals: a tiny value has no fraction of a reasonable size.
    mode = {"round": decimal.ROUND_HALF_UP, "truncate": decimal.ROUND_FLOOR}[rounding]
    return int(value.to_integral_value(rounding=mode))


@functools.cache
def ln2() -> Fraction:
    """Natural logarithm of 2 as a 50-digit fraction."""
    return Fraction(_CONTEXT.ln(Decimal(2)))


def exp2_words(exponents: Iterable[Number], scale: Number,
               rounding: str = "round") -> tuple[int, ...]:
    """``scale * 2 ** -e`` for every exponent ``e``, rounded half up or truncated."""
    return tuple(_round(_CONTEXT.multiply(_decimal(scale), _exp2(-_decimal(e))), rounding)
                 for e in exponents)


def _exp2(exponent: Decimal) -> Decimal:
    """``2 ** exponent``; exact for an integer, as only that one can lie between two words."""
    if exponent == exponent.to_integral_value():
        return _CONTEXT.power(Decimal(2), exponent)
    # A power of any base takes seven times as long.
    return _CONTEXT.exp(_CONTEXT.multiply(exponent, _decimal(ln2())))


def exp_words(exponents: Iterable[Number], scale: Number,
              rounding: str = "round") -> tuple[int, ...]:
    """``scale * e ** -x`` for every exponent ``x``, rounded half up or truncated."""
    return tuple(
        _round(_CONTEXT.multiply(_decimal(scale), _CONTEXT.exp(-_decimal(x))), rounding)
        for x in exponents)


def quotient_word(numerator: int | Fraction, denominator: int | Fraction) -> int:
    """``numerator / denominator`` of two integers or fractions, rounded half up."""
    # In integers: fractions look for common divisors at each step.
    over = numerator.numerator * denominator.denominator
    under = numerator.denominator * denominator.numerator
    return (2 * over + under) // (2 * under)


def log2_ratio(numerator: int | Fraction, denominator: int | Fraction) -> Fraction:
    """``log2(numerator / denominator)`` as a 50-digit fraction."""
    value = _CONTEXT.divide(_CONTEXT.ln(_decimal(Fraction(numerator) / denominator)),
                            _decimal(ln2()))
    return Fraction(value)


def reciprocal_words(count: int, bits: int) -> tuple[int, ...]:
    """Mean of ``1 / (1 + s)`` over each of ``count`` equal parts of ``0 <= s < 1``.

    The words have ``bits`` fraction bits, rounded half up.
    """
    words = []
    for j in range(count):
        ratio = _decimal(Fraction(count + j + 1, count + j))
        mean = _CONTEXT.multiply(Decimal(count), _CONTEXT.ln(ratio))
        words.append(_round(_CONTEXT.multiply(mean, Decimal(1 << bits)), "round"))
    return tuple(words)


# Roots -----------------------------------------------------------------------------------------

def root(value: Number) -> Fraction:
    """Square root as a 50-digit fraction; exact where it is rational."""
    value = Fraction(value)
    exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if exact * exact == value:
        return exact
    return Fraction(_CONTEXT.sqrt(_decimal(value)))


def _parts(index_bits: int) -> Iterator[tuple[Fraction, Fraction]]:
    """Bounds of the parts of 1 <= m < 4: half of the index for [1, 2), half for [2, 4)."""
    half = 1 << (index_bits - 1)
    for octave in (1, 2):
        for i in range(half):
            yield octave * Fraction(half + i, half), octave * Fraction(half + i + 1, half)


def rsqrt_words(index_bits: int, bits: int, scale: int | Fraction) -> tuple[int, ...]:
    """Mean of ``scale / sqrt(m)`` over each part of ``1 <= m < 4``, with ``bits`` fraction bits.

    The first half of the ``2**index_bits`` words covers ``1 <= m < 2``, the second ``2 <= m < 4``,
    each in equal parts. Rounded half up, and saturated just below 2.0.
    """
    most = (2 << bits) - 1
    return tuple(min(half_up(scale * 2 / (root(low) + root(high)) * (1 << bits)), most)
                 for low, high in _parts(index_bits))


def newton_words(index_bits: int, offset_bits: int, slope_bits: int,
                 scale: int | Fraction) -> tuple[tuple[int, int], ...]:
    """Words ``(a, b)`` of Newton's step ``a - b * m`` for ``scale / sqrt(m)``.

    From the guess ``g`` the step is ``g * (3 - m * g**2) / 2``, so that ``a = scale * 3/2 * g`` and
    ``b = scale * g**3 / 2``, with ``offset_bits`` and ``slope_bits`` fraction bits, rounded half
    up. The guess of each part of ``1 <= m < 4`` (parts as of :func:`rsqrt_words`) is one over the
    root of its middle.
    """
    words = []
    for low, high in _parts(index_bits):
        guess = 1 / root((low + high) / 2)
        words.append((half_up(scale * guess * 3 / 2 * (1 << offset_bits)),
                      half_up(scale * guess ** 3 / 2 * (1 << slope_bits))))
    return tuple(words)
