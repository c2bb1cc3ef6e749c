"""Words of the tables that the units hold, computed in exact or 50-digit arithmetic."""

import decimal
import math
from fractions import Fraction

__all__ = ["exp2_words", "exp_words", "ln2", "log2_ratio", "quotient_word", "reciprocal_words"]


_CONTEXT = decimal.Context(prec=50)


def _decimal(value):
    """``value`` (int, float or Fraction) as a 50-digit decimal."""
    value = Fraction(value)
    return _CONTEXT.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))


def _round(value, rounding):
    mode = {"round": decimal.ROUND_HALF_UP, "truncate": decimal.ROUND_FLOOR}[rounding]
    return int(value.to_integral_value(rounding=mode))


def ln2():
    """Natural logarithm of 2 as a 50-digit fraction."""
    return Fraction(_CONTEXT.ln(decimal.Decimal(2)))


def exp2_words(exponents, scale, rounding="round"):
    """``scale * 2 ** -e`` for every exponent ``e``, rounded half up or truncated."""
    two = decimal.Decimal(2)
    return tuple(
        _round(_CONTEXT.multiply(_decimal(scale), _CONTEXT.power(two, -_decimal(e))), rounding)
        for e in exponents)


def exp_words(exponents, scale, rounding="round"):
    """``scale * e ** -x`` for every exponent ``x``, rounded half up or truncated."""
    return tuple(
        _round(_CONTEXT.multiply(_decimal(scale), _CONTEXT.exp(-_decimal(x))), rounding)
        for x in exponents)


def quotient_word(numerator, denominator):
    """``numerator / denominator`` of two integers or fractions, rounded half up."""
    return math.floor(Fraction(numerator) / denominator + Fraction(1, 2))


def log2_ratio(numerator, denominator):
    """Base-2 logarithm of ``numerator / denominator``, as a 50-digit fraction."""
    value = _CONTEXT.divide(_CONTEXT.ln(_decimal(Fraction(numerator) / denominator)),
                            _CONTEXT.ln(decimal.Decimal(2)))
    return Fraction(value)


def reciprocal_words(count, bits):
    """Mean of ``1 / (1 + s)`` over each of ``count`` equal parts of ``0 <= s < 1``.

    The words have ``bits`` fraction bits, rounded half up.
    """
    words = []
    for j in range(count):
        ratio = _decimal(Fraction(count + j + 1, count + j))
        mean = _CONTEXT.multiply(decimal.Decimal(count), _CONTEXT.ln(ratio))
        words.append(_round(_CONTEXT.multiply(mean, decimal.Decimal(1 << bits)), "round"))
    return tuple(words)
