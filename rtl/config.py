"""Configurations of the units: one frozen object that hardware, model and reports are made from.

A config class is a frozen, keyword-only dataclass whose fields are declared by
:func:`rtl.parameter.parameter`. It is registered under the unit's name by :func:`register`, which
is all that the command line, the benches and the reports need to know of a new unit.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import inspect
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from amaranth.lib import data, wiring

from .data_sheet import DataSheet, Format
from .parameter import ConfigError, derived_of, kind_of, shown

__all__ = ["ConfigError", "UnitConfig", "register", "unit", "units"]


# Parameters that size a unit: every name has them.
SIZING = ("bits", "out_bits", "lanes", "max_length")

# Characters of a configuration's name, and of its file.
LONGEST_NAME = 72
LONGEST_FILE = 1 << 24

Config = TypeVar("Config", bound="UnitConfig")

_registry: dict[str, type[UnitConfig]] = {}


def register(cls: type[Config]) -> type[Config]:
    """Register a config class under its :attr:`~UnitConfig.UNIT` name. Used as a decorator.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if cls.UNIT in _registry:
        raise ValueError(f"Unit {cls.UNIT!r} is registered already")
    _registry[cls.UNIT] = cls
    return cls


def units() -> tuple[str, ...]:
    """Names of all units, in the order of their registration."""
    return tuple(_registry)


def unit(name: str) -> type[UnitConfig]:
    """Config class of the unit called ``name``.

    Raises
    ------
    ConfigError
        If there is no such unit; the message names the nearest one.
    """
    if not isinstance(name, str) or name not in _registry:
        raise ConfigError(f"Unit {shown(name)} does not exist{_nearest(name, units())}")
    return _registry[name]


def _read(language: str, read: Callable[[str], Any], text: str) -> Any:
    """Contents of a text in a language; also of one whose integers or depth Python refuses."""
    try:
        return read(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"Configuration is not valid {language}: {reason}") from None


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(shown(name), known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitConfig:
    """Base of every unit's configuration.

    A subclass sets ``UNIT`` (the name of the unit) and ``PRESETS`` (named sets of parameters, of
    which the first one is recommended and equals the defaults), has the layouts ``input_layout``
    and ``output_layout`` or its own :attr:`streams`, and implements :attr:`latency` and
    :meth:`create`.
    """

    UNIT: ClassVar[str | None] = None
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}

    def __post_init__(self) -> None:
        # Defaults that follow other parameters come last.
        for field in sorted(dataclasses.fields(self), key=self._is_derived):
            value, kind = getattr(self, field.name), kind_of(field)
            if self._is_derived(field):
                value = derived_of(field).rule(self)
            try:
                object.__setattr__(self, field.name, kind.normalise(value))
            except ValueError:
                raise ConfigError.of(field.name, kind.allowed, shown(value)) from None

    def _is_derived(self, field: dataclasses.Field) -> bool:
        """Whether no value of a parameter is known yet, but a rule for it."""
        return derived_of(field) is not None and getattr(self, field.name) is None

    @classmethod
    def preset(cls, name: str, **parameters: Any) -> Self:
        """Build the preset called ``name``, with ``parameters`` on top of it.

        Raises
        ------
        ConfigError
            If the preset or a parameter is unknown (the message names the nearest one), or a value
            is not allowed.
        """
        cls.check_names(parameters)
        if not isinstance(name, str) or name not in cls.PRESETS:
            raise ConfigError(f"Preset {shown(name)} of {cls.UNIT} does not exist"
                              f"{_nearest(name, tuple(cls.PRESETS))}")
        return cls(**{**cls.PRESETS[name], **parameters})

    @classmethod
    def check_names(cls, names: Iterable[str]) -> None:
        """Refuse names that are no parameters of the unit; the message names the nearest one."""
        known = tuple(cls.parameters())
        for name in names:
            if name not in known:
                raise ConfigError(f"Parameter {shown(name)} of {cls.UNIT} does not exist"
                                  f"{_nearest(name, known)}")

    @classmethod
    def parameters(cls) -> dict[str, dataclasses.Field]:
        """Dataclass fields of the unit's parameters, by name."""
        return {field.name: field for field in dataclasses.fields(cls)}

    # Names -------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Deterministic name of the configuration: a Verilog identifier, unique to it.

        The unit, the tags of the parameters that size it, the nearest preset, and the tags of the
        parameters that differ from that preset. A hash replaces those tags in a name of more than
        ``LONGEST_NAME`` characters: Verilator takes 127, submodules' suffixes included.
        """
        preset, difference = self.nearest_preset()
        words = [self.UNIT.replace("-", "_"),
                 "".join(self._tag(n) for n in SIZING if n in self.parameters()), preset,
                 *(self._tag(n) for n in difference)]
        name = "_".join(word for word in words if word)
        if len(name) > LONGEST_NAME:
            name = "_".join([*(word for word in words[:3] if word), f"x{self.hash}"])
        return name

    def defaults(self) -> dict[str, Any]:
        """Defaults of all parameters: of one that follows others, by this configuration's."""
        return {name: kind_of(field).normalise(
                    derived_of(field).rule(self) if derived_of(field) else field.default)
                for name, field in self.parameters().items()}

    def nearest_preset(self) -> tuple[str, list[str]]:
        """Preset that the fewest parameters differ from, and these; those that size it are none."""
        fields, chosen = self.parameters(), self.defaults()
        preset, difference = "", None
        for candidate, values in (self.PRESETS or {"": {}}).items():
            expected = {**chosen, **values}
            differing = [n for n in fields if n not in SIZING and getattr(self, n) != expected[n]]
            if difference is None or len(differing) < len(difference):
                preset, difference = candidate, differing
        return preset, difference

    def _tag(self, name: str) -> str:
        field = self.parameters()[name]
        return field.metadata["tag"] + kind_of(field).tag(getattr(self, name))

    @property
    def hash(self) -> str:
        """First 32 bits of the SHA-256 of the configuration's JSON, as eight hex digits."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    # Files -------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Unit name and every parameter, as plain Python values."""
        return {"unit": self.UNIT, **{name: getattr(self, name) for name in self.parameters()}}

    def to_json(self) -> str:
        """JSON text that :meth:`from_json` reads back to an equal config."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_toml(self) -> str:
        """TOML text that :meth:`from_toml` reads back to an equal config."""
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.to_dict().items())

    @staticmethod
    def from_dict(values: dict[str, Any]) -> UnitConfig:
        """Build the config that ``values`` describes: ``unit``, an optional ``preset``, parameters.

        Raises
        ------
        ConfigError
            If the unit, the preset or a parameter is unknown (the message names the nearest one),
            or a value is not allowed.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"A configuration must be a table of parameters, not {shown(values)}")
        values = dict(values)
        if "unit" not in values:
            raise ConfigError("A configuration must name its unit: unit = \"softmax-e2\"")
        cls = unit(values.pop("unit"))
        preset = values.pop("preset", None)
        cls.check_names(values)
        return cls(**values) if preset is None else cls.preset(preset, **values)

    @staticmethod
    def from_json(text: str) -> UnitConfig:
        """Build the config that a JSON text describes."""
        return UnitConfig.from_dict(_read("JSON", json.loads, text))

    @staticmethod
    def from_toml(text: str) -> UnitConfig:
        """Build the config that a TOML text describes."""
        return UnitConfig.from_dict(_read("TOML", tomllib.loads, text))

    @staticmethod
    def load(path: str | os.PathLike[str], **parameters: Any) -> UnitConfig:
        """Build the config of a ``.toml`` or ``.json`` file, with ``parameters`` on top of it.

        Defaults follow the parameters that the file and ``parameters`` have together.
        """
        values = UnitConfig._table(str(path))
        return UnitConfig.from_dict({**values, **parameters} if isinstance(values, dict)
                                    else values)

    @staticmethod
    def _table(path: str) -> Any:
        """Contents of a ``.toml`` or ``.json`` file."""
        try:
            with open(path, encoding="utf-8") as file:
                # A device may have no end.
                text = file.read(LONGEST_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(f"Configuration file {path!r} can not be read: {reason}") from None
        if len(text) > LONGEST_FILE:
            raise ConfigError(f"Configuration file {path!r} can not be read: it has more than "
                              f"{LONGEST_FILE} characters")
        if path.endswith(".toml"):
            return _read("TOML", tomllib.loads, text)
        if path.endswith(".json"):
            return _read("JSON", json.loads, text)
        raise ConfigError(f"Configuration file must end in .toml or .json, not {path!r}")

    # Hardware ----------------------------------------------------------------------------------

    @property
    def streams(self) -> dict[str, data.StructLayout]:
        """Layout of the beats of each stream, by name; the output ``o`` comes last.

        Benches, shells and reports go by it. A unit from rows to rows has ``i`` and ``o``.
        """
        return {"i": self.input_layout, "o": self.output_layout}

    @property
    def streams_out(self) -> tuple[str, ...]:
        """Names of the streams out, in the order of :attr:`streams`; ``o`` comes last."""
        return ("o",)

    @property
    def latency(self) -> int:
        """Clock cycles from a row's last beat accepted to its first beat valid.

        For a row of one beat, where :attr:`passes` is more than 1.
        """
        raise NotImplementedError

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the unit's inputs beside the streams; all are inactive at 0."""
        return ("clear",) if self.causes else ()

    @property
    def strobes(self) -> tuple[str, ...]:
        """Those of the :attr:`controls` that are pulses of one cycle; the others hold a value."""
        return ("clear",) if self.causes else ()

    @property
    def source(self) -> str:
        """Name of the input stream whose packets each become one packet of the output."""
        return next(iter(self.streams))

    @property
    def packet_elements(self) -> int:
        """Elements of :attr:`source` that become one packet of the output; 0: a packet of it."""
        return 0

    @property
    def memory_ports(self) -> Mapping[str, str]:
        """Streams of read requests, by name, each with the stream in that takes the answers.

        A request is a byte address, a multiple of the bytes of a beat of the answer, and the number
        of these beats, 32 bits each. Answers come in the order of the requests.
        """
        return {}

    @property
    def constants(self) -> Mapping[str, tuple[int, str]]:
        """Further numbers that software needs, by name: value and meaning."""
        return {}

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the unit's outputs beside the streams and ``error``."""
        return ("causes",) if self.causes else ()

    @property
    def causes(self) -> dict[str, str]:
        """What each bit of the output ``causes`` stands for, by its name, lowest bit first.

        A unit with causes has them sticky, and the control ``clear``, which clears them and its
        ``error``.
        """
        return {}

    @property
    def passes(self) -> int:
        """Cascaded row stores; each after the first adds ``beats - 1`` cycles of latency."""
        return 1

    @property
    def max_rows(self) -> int:
        """Rows that may be inside the unit at a time, further ones stall; 0: any number."""
        return 0

    @property
    def row_interval(self) -> int:
        """Cycles between the ends of two rows, at least.

        A row of fewer beats stalls at the input until the unit is empty.
        """
        return 1

    @classmethod
    def algorithm(cls) -> str:
        """Equations and source of what the unit computes: the docstring of the method's module."""
        return inspect.cleandoc(sys.modules[cls.__module__].__doc__ or "")

    @property
    def data_sheet(self) -> DataSheet:
        """Formats, framing and timing, as the emitted file and its manifest say them."""
        return DataSheet(formats={name: Format("element") for name in self.streams},
                         framing="A row is the beats up to TLAST.")

    def row_latency(self, beats: int) -> int:
        """:attr:`latency` of a row of ``beats`` beats, in cycles, in an otherwise idle unit."""
        return self.latency + (self.passes - 1) * (beats - 1)

    @property
    def most_rows(self) -> int:
        """Most rows inside a unit from rows to rows at a time.

        A beat that need not wait for the output is inside for as many cycles at most as the longest
        row takes from its first beat in to its last beat out, alone in the unit. One beat enters
        per cycle, so no more beats are inside, and each may be a row, unless :attr:`max_rows` are
        fewer.
        """
        beats = self.max_beats + self.row_latency(self.max_beats)
        return min(beats, self.max_rows or beats)

    def _require(self, name: str, condition: bool, allowed: str, value: object = None) -> None:
        """Refuse the value of a parameter unless ``condition`` holds.

        ``value`` replaces the parameter's own value in the message.
        """
        if not condition:
            value = shown(getattr(self, name)) if value is None else value
            raise ConfigError.of(name, allowed, f"{value}")

    def create(self) -> wiring.Component:
        """Create the unit's hardware: an :class:`amaranth.lib.wiring.Component`."""
        raise NotImplementedError
