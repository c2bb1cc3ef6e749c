"""Kinds of configuration parameter: what each accepts, and how it says no.

A parameter is declared once, as a dataclass field of a config class (:func:`parameter`). Its kind
validates and normalises the value, names it inside ``config.name``, and describes it on the
command line, so a new parameter enters one file only.
"""

import dataclasses
import hashlib
import json
import math
import numbers
import operator
from fractions import Fraction

__all__ = ["Choice", "ConfigError", "Flag", "Integer", "Integers", "NonNegativeReal",
           "PositiveReal", "Real", "Words", "kind_of", "parameter"]


class ConfigError(ValueError):
    """A configuration that can not be built, with one line that says why."""


@dataclasses.dataclass(frozen=True)
class Integer:
    """An integer from ``low`` to ``high``, both included. Floats and booleans are refused."""

    low: int
    high: int

    @property
    def allowed(self):
        return f"an integer in {self.low}..{self.high}"

    def normalise(self, value):
        if isinstance(value, bool):
            raise ValueError
        try:
            value = operator.index(value)
        except TypeError:
            raise ValueError from None
        if not self.low <= value <= self.high:
            raise ValueError
        return value

    def parse(self, text):
        return int(text, 10)

    def tag(self, value):
        return str(value).replace("-", "m")


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few values, all strings or all integers."""

    values: tuple

    @property
    def allowed(self):
        return "one of " + ", ".join(str(value) for value in self.values)

    def normalise(self, value):
        if isinstance(self.values[0], int):
            value = Integer(min(self.values), max(self.values)).normalise(value)
        if value not in self.values:
            raise ValueError
        return value

    def parse(self, text):
        return int(text, 10) if isinstance(self.values[0], int) else text

    def tag(self, value):
        return str(value)


@dataclasses.dataclass(frozen=True)
class Flag:
    """True or false."""

    allowed = "true or false"

    def normalise(self, value):
        if value is not True and value is not False:
            raise ValueError
        return value

    def parse(self, text):
        try:
            return {"true": True, "false": False}[text]
        except KeyError:
            raise ValueError from None

    def tag(self, value):
        return "1" if value else "0"


@dataclasses.dataclass(frozen=True)
class Real:
    """Base of the kinds of number from a ``low`` up to 2^64, kept as a float."""

    low = None

    def normalise(self, value):
        if isinstance(value, bool) or not isinstance(value, numbers.Real | Fraction):
            raise ValueError
        value = float(value)
        if not self.low <= value <= 2.0 ** 64:
            raise ValueError
        return value

    def parse(self, text):
        try:
            return float(Fraction(text)) if "/" in text else float(text)
        except ZeroDivisionError:
            raise ValueError from None

    def tag(self, value):
        mantissa, exponent = math.frexp(value)
        if mantissa == 0.5:
            return f"2e{exponent - 1}".replace("-", "m")
        return repr(value).replace("-", "m").replace("+", "").replace(".", "p")


@dataclasses.dataclass(frozen=True)
class PositiveReal(Real):
    """A positive, finite number between 2^-64 and 2^64, kept as a float."""

    allowed = "a positive number between 2^-64 and 2^64"
    low = 2.0 ** -64


@dataclasses.dataclass(frozen=True)
class NonNegativeReal(Real):
    """Zero, or a finite number up to 2^64, kept as a float."""

    allowed = "a number from 0 up to 2^64"
    low = 0.0


@dataclasses.dataclass(frozen=True)
class Integers:
    """A list of integers from ``low`` to ``high``, kept as a tuple; empty stands for a default.

    On the command line the value is a list with commas between. ``config.name`` holds a hash.
    """

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
class Words:
    """The contents of a table: a list of integers of at least 0, kept as a tuple.

    The empty list stands for the contents that the unit computes by itself. On the command line
    the value is the name of a file: a JSON list, or integers with white space or commas between.
    ``config.name`` holds a hash of the contents.
    """

    allowed = "a list of integers of at least 0, or a file of them"

    def normalise(self, value):
        if not isinstance(value, list | tuple):
            raise ValueError
        word = Integer(0, (1 << 32) - 1)
        return tuple(word.normalise(item) for item in value)

    def parse(self, text):
        try:
            with open(text, encoding="utf-8") as file:
                content = file.read()
        except OSError:
            raise ValueError from None
        if content.lstrip().startswith("["):
            return json.loads(content)
        return [int(word, 10) for word in content.replace(",", " ").split()]

    def tag(self, value):
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8] if value else "0"


def parameter(default, kind, *, tag, help):
    """Declare a configuration parameter: a dataclass field that knows its ``kind``.

    ``tag`` is the short name that stands for the parameter inside ``config.name``.
    """
    return dataclasses.field(default=default,
                             metadata={"kind": kind, "tag": tag, "help": help})


def kind_of(field):
    """Kind of the parameter that a dataclass field declares."""
    return field.metadata["kind"]
