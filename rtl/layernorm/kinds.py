"""Kinds of parameter that only LayerNorm has."""

import dataclasses
import hashlib

from ..parameter import Integer, Real

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
class NonNegativeReal(Real):
    """Zero, or a finite number up to 2^64, kept as a float."""

    allowed = "a number from 0 up to 2^64"
    low = 0.0
