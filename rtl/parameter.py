"""Kinds of configuration parameter: what each accepts, and how it is read, named and described.

A parameter is declared once, as a dataclass field of a config class (:func:`parameter`). Its kind
validates and normalises the value, names it inside ``config.name``, and describes it on the
command line, so a new parameter enters one file only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import numbers
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar, Protocol

__all__ = ["Choice", "ConfigError", "Derived", "Flag", "Integer", "Integers", "Kind",
           "NonNegativeReal", "PositiveReal", "Real", "Words", "derived_of", "kind_of", "parameter",
           "shown"]


# Characters of a value in a message, and of a file of words.
LONGEST_VALUE = 80
LONGEST_FILE = 1 << 20


class ConfigError(ValueError):
    """A configuration that can not be built; the message is one line that gives the reason.

    Attributes
    ----------
    parameter : str or None
        Name of the parameter whose value is refused, where there is one.
    allowed, value : str
        What it must be, and what it is, where there is a parameter.
    """

    parameter: str | None = None
    allowed: str = ""
    value: str = ""

    @classmethod
    def of(cls, parameter: str, allowed: str, value: str) -> ConfigError:
        """Return the error of a parameter that must be ``allowed``, and is ``value``."""
        error = cls(f"Parameter {parameter} must be {allowed}, not {value}")
        error.parameter, error.allowed, error.value = parameter, allowed, value
        return error


def shown(value: object) -> str:
    """Return a value as a message shows it: its beginning, if it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python writes integers of so many digits only.
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


class Kind(Protocol):
    """What every kind of parameter has."""

    @property
    def allowed(self) -> str:
        """Values that are accepted, as messages and help name them."""

    def normalise(self, value: object) -> Any:
        """Value in the form in which the configuration keeps it.

        Raises
        ------
        ValueError
            If it is not accepted.
        """

    def parse(self, text: str) -> Any:
        """Value of a command-line option, not yet normalised.

        Raises
        ------
        ValueError
            If the text stands for no value; a :class:`ConfigError` says what it must be, and why it
            is not.
        """

    def tag(self, value: Any) -> str:
        """Normalised value as a part of an identifier."""


@dataclasses.dataclass(frozen=True)
class Integer:
    """An integer in ``low..high``. Floats and booleans are refused."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"an integer in {self.low}..{self.high}"

    def normalise(self, value: object) -> int:
        if isinstance(value, bool):
            raise ValueError
        try:
            value = operator.index(value)
        except TypeError:
            raise ValueError from None
        if not self.low <= value <= self.high:
            raise ValueError
        return value

    def parse(self, text: str) -> int:
        return int(text, 10)

    def tag(self, value: int) -> str:
        return str(value).replace("-", "m")


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few values, all strings or all integers."""

    values: tuple[str, ...] | tuple[int, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)

    def normalise(self, value: object) -> str | int:
        if isinstance(self.values[0], int):
            value = Integer(min(self.values), max(self.values)).normalise(value)
        if value not in self.values:
            raise ValueError
        return value

    def parse(self, text: str) -> str | int:
        return int(text, 10) if isinstance(self.values[0], int) else text

    def tag(self, value: str | int) -> str:
        # The names of some choices have hyphens.
        return str(value).replace("-", "")


@dataclasses.dataclass(frozen=True)
class Flag:
    """True or false."""

    allowed = "true or false"

    def normalise(self, value: object) -> bool:
        if value is not True and value is not False:
            raise ValueError
        return value

    def parse(self, text: str) -> bool:
        try:
            return {"true": True, "false": False}[text]
        except KeyError:
            raise ValueError from None

    def tag(self, value: bool) -> str:
        return "1" if value else "0"


@dataclasses.dataclass(frozen=True)
class Real:
    """Base of the numbers in ``low..2**64``, kept as a float."""

    low: ClassVar[float]

    def normalise(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real | Fraction):
            raise ValueError
        try:
            value = float(value)
        except OverflowError:
            raise ValueError from None
        if not self.low <= value <= 2.0 ** 64:
            raise ValueError
        return value

    def parse(self, text: str) -> float:
        try:
            return float(Fraction(text)) if "/" in text else float(text)
        except ZeroDivisionError:
            raise ValueError from None

    def tag(self, value: float) -> str:
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
    def allowed(self) -> str:
        return f"a list of integers in {self.low}..{self.high}"

    def normalise(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str | bytes | dict):
            raise ValueError
        try:
            return tuple(Integer(self.low, self.high).normalise(item) for item in value)
        except TypeError:
            raise ValueError from None

    def parse(self, text: str) -> tuple[int, ...]:
        return tuple(int(item, 10) for item in text.split(",") if item.strip())

    def tag(self, value: tuple[int, ...]) -> str:
        return hashlib.sha256(repr(tuple(value)).encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Words:
    """Contents of a table: a list of integers in ``0..2**32 - 1``, kept as a tuple.

    Empty means the contents that the unit computes. On the command line the value names a file: a
    JSON list, or integers separated by white space or commas. ``config.name`` holds a hash of the
    contents.
    """

    allowed = "a list of integers of at least 0, or a file of them"

    def normalise(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError
        word = Integer(0, (1 << 32) - 1)
        return tuple(word.normalise(item) for item in value)

    def parse(self, text: str) -> list[int]:
        allowed = "a file of integers of at least 0"
        try:
            with open(text, encoding="utf-8") as file:
                # A device may have no end.
                content = file.read(LONGEST_FILE + 1)
        except OSError as error:
            raise ConfigError(f"{allowed}, not {text!r}, which can not be read: "
                              f"{error.strerror}") from None
        if len(content) > LONGEST_FILE:
            raise ConfigError(f"{allowed}, not {text!r}, which has more than {LONGEST_FILE} "
                              f"characters")
        if content.lstrip().startswith("["):
            try:
                return json.loads(content)
            except RecursionError:
                raise ValueError from None
        return [int(word, 10) for word in content.replace(",", " ").split()]

    def tag(self, value: tuple[int, ...]) -> str:
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8] if value else "0"


@dataclasses.dataclass(frozen=True)
class Derived:
    """Default of a parameter that follows other parameters.

    Attributes
    ----------
    rule : callable
        ``rule(config)``: the default, from a config whose earlier derived parameters are known.
    text : str
        What it is, for help.
    """

    rule: Callable[[Any], Any]
    text: str


def parameter(default: Any, kind: Kind, *, tag: str, help: str) -> Any:
    """Declare a configuration parameter: a dataclass field that knows its ``kind``.

    ``default`` is a value, or :class:`Derived`: the field's own default is None then, for which the
    config puts in what the rule gives. ``tag`` is the parameter's short name inside
    ``config.name``, ``help`` its text on the command line.
    """
    derived = default if isinstance(default, Derived) else None
    return dataclasses.field(default=None if derived else default, metadata={
        "kind": kind, "tag": tag, "help": help, "derived": derived})


def kind_of(field: dataclasses.Field) -> Kind:
    """Kind of the parameter that a dataclass field declares."""
    return field.metadata["kind"]


def derived_of(field: dataclasses.Field) -> Derived | None:
    """Rule of the parameter's default, if other parameters determine it."""
    return field.metadata["derived"]
