"""Kinds of parameter that only LayerNorm has."""

import dataclasses
import hashlib
import math
import numbers
from fractions import Fraction

from ..parameter import Integer


__all__ = ["Integers", "NonNegativeReal", "SignedInteger"]


class SignedInteger(Integer):
    """An integer that may be negative, from ``low`` to ``high``."""

    def tag(self, value):
        return str(value).replace("-", "m")


@dataclasses.dataclass(frozen=True)
class Integers:
    """A list of integers from ``low`` to ``high``, kept as a tuple; empty stands for a default."""

    low: int
    high: int

    @property
    def allowed(self):
        return f"a list of integers in {self.low}..{self.high}"

    def normalise(self, value):
        if isinstance(value, str | bytes | dict):
            raise ValueError
        try:
            return tuple(Integer(self.low, self.high).normalise(item) for item in value)
        except TypeError:
            raise ValueError from None

    def parse(self, text):
        return tuple(int(item, 10) for item in text.split(",") if item.strip())

    def tag(self, value):
        return hashlib.sha256(repr(tuple(value)).encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class NonNegativeReal:
    """Zero, or a finite number below 2^64, kept as a float."""

    allowed = "a number from 0 up to 2^64"

    def normalise(self, value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real | Fraction):
            raise ValueError
        value = float(value)
        if not 0.0 <= value <= 2.0 ** 64:
            raise ValueError
        return value

    def parse(self, text):
        return float(Fraction(text)) if "/" in text else float(text)

    def tag(self, value):
        mantissa, exponent = math.frexp(value)
        if mantissa == 0.5:
            return f"2e{exponent - 1}".replace("-", "m")
        return repr(value).replace("-", "m").replace("+", "").replace(".", "p")
