"""Words of the reciprocal square roots, in exact or 50-digit arithmetic."""

import decimal
import math
from fractions import Fraction

__all__ = ["newton_words", "root", "rsqrt_words"]


_CONTEXT = decimal.Context(prec=50)


def root(value):
    """Square root of a fraction, as a 50-digit fraction (exact where it is one)."""
    value = Fraction(value)
    exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    if exact * exact == value:
        return exact
    ratio = _CONTEXT.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))
    return Fraction(_CONTEXT.sqrt(ratio))


def _round(value):
    return math.floor(value + Fraction(1, 2))


def _parts(index_bits):
    """Bounds of the parts of 1 <= m < 4: half of the index for [1, 2), half for [2, 4)."""
    half = 1 << (index_bits - 1)
    for octave in (1, 2):
        for i in range(half):
            yield octave * Fraction(half + i, half), octave * Fraction(half + i + 1, half)


def rsqrt_words(index_bits, bits, scale):
    """Mean of ``scale / sqrt(m)`` over each part of ``1 <= m < 4``, with ``bits`` fraction bits.

    The first half of the ``2**index_bits`` words is for ``m < 2``, the second for the others, each
    in equal parts. Rounded half up, and at most just less than 2.0.
    """
    most = (2 << bits) - 1
    return tuple(min(_round(scale * 2 / (root(low) + root(high)) * (1 << bits)), most)
                 for low, high in _parts(index_bits))


def newton_words(index_bits, offset_bits, slope_bits, scale):
    """Words ``(a, b)`` of Newton's step ``a - b * m`` for ``scale / sqrt(m)``.

    From the guess ``g`` the step is ``g * (3 - m * g**2) / 2``, so that ``a = scale * 3/2 * g`` and
    ``b = scale * g**3 / 2``, with ``offset_bits`` and ``slope_bits`` fraction bits, rounded half
    up. The guess of each part of ``1 <= m < 4`` (parts as of :func:`rsqrt_words`) is one over the
    root of its middle.
    """
    words = []
    for low, high in _parts(index_bits):
        guess = 1 / root((low + high) / 2)
        words.append((_round(scale * guess * 3 / 2 * (1 << offset_bits)),
                      _round(scale * guess ** 3 / 2 * (1 << slope_bits))))
    return tuple(words)
