"""Configurations of the units: one frozen object that hardware, model and reports are made from.

A config class is a frozen, keyword-only dataclass whose fields are declared by
:func:`rtl.parameter.parameter`. It is registered under the unit's name by :func:`register`, which
is all that the command line, the benches and the reports need to know of a new unit.
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib

from .parameter import ConfigError, kind_of

__all__ = ["ConfigError", "UnitConfig", "register", "unit", "units"]


# Characters of a configuration's name.
LONGEST_NAME = 72

_registry = {}


def register(cls):
    """Register a config class under its :attr:`~UnitConfig.UNIT` name. Used as a decorator."""
    if cls.UNIT in _registry:
        raise ValueError(f"Unit {cls.UNIT!r} is registered already")
    _registry[cls.UNIT] = cls
    return cls


def units():
    """Names of all units, in the order in which they were registered."""
    return tuple(_registry)


def unit(name):
    """Config class of the unit called ``name``.

    Raises
    ------
    ConfigError
        If there is no such unit; the message names the nearest one.
    """
    if name not in _registry:
        raise ConfigError(f"Unit {name!r} does not exist{_nearest(name, units())}")
    return _registry[name]


def _nearest(name, known):
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are: {', '.join(known)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitConfig:
    """Base of every unit's configuration.

    A subclass sets ``UNIT`` (the name of the unit), ``PRESETS`` (named sets of parameters; the
    first one equals the defaults) and implements :meth:`create`.
    """

    UNIT = None
    PRESETS = {}

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), kind_of(field)
            try:
                object.__setattr__(self, field.name, kind.normalise(value))
            except ValueError:
                raise ConfigError(f"Parameter {field.name} must be {kind.allowed}, "
                                  f"not {value!r}") from None

    @classmethod
    def preset(cls, name, **parameters):
        """Build the preset called ``name``, with ``parameters`` on top of it."""
        if name not in cls.PRESETS:
            raise ConfigError(f"Preset {name!r} of {cls.UNIT} does not exist"
                              f"{_nearest(name, tuple(cls.PRESETS))}")
        return cls(**{**cls.PRESETS[name], **parameters})

    @classmethod
    def parameters(cls):
        """Dataclass fields of the unit's parameters, by name."""
        return {field.name: field for field in dataclasses.fields(cls)}

    # Names -------------------------------------------------------------------------------------

    @property
    def name(self):
        """Deterministic name of the configuration: a Verilog identifier, unique to it.

        Made of the unit, the tags of the parameters that size it, the nearest preset, and the
        tags of all parameters in which it differs from that preset; of their hash instead, where
        the name would get longer than tools take (Verilator: 127 characters, with what is added).
        """
        fields = self.parameters()
        sizing = [n for n in ("bits", "out_bits", "lanes", "max_length") if n in fields]
        chosen = {n: kind_of(f).normalise(f.default) for n, f in fields.items()}
        preset, difference = "", None
        for candidate, values in (self.PRESETS or {"": {}}).items():
            expected = {**chosen, **values}
            differing = [n for n in fields if n not in sizing and getattr(self, n) != expected[n]]
            if difference is None or len(differing) < len(difference):
                preset, difference = candidate, differing
        words = [self.UNIT.replace("-", "_"),
                 "".join(self._tag(n) for n in sizing), preset,
                 *(self._tag(n) for n in difference)]
        name = "_".join(word for word in words if word)
        if len(name) > LONGEST_NAME:
            name = "_".join([*(word for word in words[:3] if word), f"x{self.hash}"])
        return name

    def _tag(self, name):
        field = self.parameters()[name]
        return field.metadata["tag"] + kind_of(field).tag(getattr(self, name))

    @property
    def hash(self):
        """First 32 bits of the SHA-256 of the configuration's JSON, as eight hex digits."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]

    # Files -------------------------------------------------------------------------------------

    def to_dict(self):
        """Unit name and every parameter, as plain Python values."""
        return {"unit": self.UNIT, **dataclasses.asdict(self)}

    def to_json(self):
        """JSON text that :meth:`from_json` reads back to an equal config."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def to_toml(self):
        """TOML text that :meth:`from_toml` reads back to an equal config."""
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.to_dict().items())

    @staticmethod
    def from_dict(values):
        """Build the config that ``values`` describes: ``unit``, an optional ``preset``, parameters.

        Raises
        ------
        ConfigError
            If the unit, the preset or a parameter is unknown (the message names the nearest one),
            or a value is not allowed.
        """
        if not isinstance(values, dict):
            raise ConfigError(f"A configuration must be a table of parameters, not {values!r}")
        values = dict(values)
        if "unit" not in values:
            raise ConfigError("A configuration must name its unit: unit = \"softmax-e2\"")
        cls = unit(values.pop("unit"))
        preset = values.pop("preset", None)
        known = tuple(cls.parameters())
        for key in values:
            if key not in known:
                raise ConfigError(f"Parameter {key!r} of {cls.UNIT} does not exist"
                                  f"{_nearest(key, known)}")
        return cls(**values) if preset is None else cls.preset(preset, **values)

    @staticmethod
    def from_json(text):
        """Build the config that a JSON text describes."""
        try:
            return UnitConfig.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise ConfigError(f"Configuration is not valid JSON: {error}") from None

    @staticmethod
    def from_toml(text):
        """Build the config that a TOML text describes."""
        try:
            return UnitConfig.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"Configuration is not valid TOML: {error}") from None

    @staticmethod
    def load(path):
        """Build the config of a ``.toml`` or ``.json`` file."""
        path = str(path)
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(f"Configuration file {path!r} can not be read: {reason}") from None
        if path.endswith(".toml"):
            return UnitConfig.from_toml(text)
        if path.endswith(".json"):
            return UnitConfig.from_json(text)
        raise ConfigError(f"Configuration file must end in .toml or .json, not {path!r}")

    # Hardware ----------------------------------------------------------------------------------

    @property
    def streams(self):
        """Layout of the beats of each stream, by its name; that of the output, ``o``, comes last.

        What benches, shells and reports go by. A unit that turns rows into rows has ``i`` and
        ``o``.
        """
        return {"i": self.input_layout, "o": self.output_layout}

    @property
    def latency(self):
        """Clock cycles from a row's last beat accepted to its first beat valid.

        For a row of one beat, where :attr:`passes` is more than 1.
        """
        raise NotImplementedError

    @property
    def controls(self):
        """Names of the unit's inputs that are no streams, which do nothing while they are 0."""
        return ()

    @property
    def passes(self):
        """Stores that hold a row until it is complete, one behind the other."""
        return 1

    @property
    def row_interval(self):
        """Cycles that the unit needs from the end of one row to the end of the next.

        A row of fewer beats waits at the input until the unit is empty.
        """
        return 1

    def row_latency(self, beats):
        """:attr:`latency` of a row of ``beats`` beats, in a unit that has nothing else to do."""
        return self.latency + (self.passes - 1) * (beats - 1)

    def _require(self, name, condition, allowed, value=None):
        """Refuse the value of a parameter unless ``condition`` holds.

        ``value`` is what the message says of it, where that is not the whole value.
        """
        if not condition:
            value = repr(getattr(self, name)) if value is None else value
            raise ConfigError(f"Parameter {name} must be {allowed}, not {value}")

    def create(self):
        """Create the unit's hardware: an :class:`amaranth.lib.wiring.Component`."""
        raise NotImplementedError
