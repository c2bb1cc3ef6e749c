"""Kind of parameter that chooses a softmax unit, of the engines that have one inside."""

import dataclasses
import hashlib

from ..config import UnitConfig, unit, units
from ..parameter import ConfigError, kind_of

__all__ = ["SoftmaxChoice"]

# What rows bring in their first beats: inside an engine nobody but the engine could.
ROW_PARAMETERS = ("accumulator_bits", "sink")


@dataclasses.dataclass(frozen=True)
class SoftmaxChoice:
    """A softmax unit, as ``UNIT[:PRESET][,PARAMETER=VALUE...]``.

    ``softmax-e2:plus,code_bits=5`` is the preset ``plus`` of ``softmax-e2`` with one parameter
    changed; without a preset the unit's first one is taken.
    """

    @property
    def values(self):
        """Names of the units that can be chosen."""
        return tuple(name for name in units() if name.startswith("softmax-"))

    @property
    def allowed(self):
        return f"UNIT[:PRESET][,PARAMETER=VALUE...] with UNIT one of {', '.join(self.values)}"

    def normalise(self, value):
        if not isinstance(value, str):
            raise ValueError
        head, *options = (word.strip() for word in value.split(","))
        name, _, preset = head.partition(":")
        if name not in self.values or not all("=" in option for option in options):
            raise ValueError
        pairs = [tuple(map(str.strip, option.split("=", 1))) for option in options]
        return ",".join([f"{name}:{preset}" if preset else name,
                         *(f"{key}={text}" for key, text in pairs)])

    def parse(self, text):
        return text

    def tag(self, value):
        head, _, options = value.partition(",")
        digest = "_" + hashlib.sha256(options.encode()).hexdigest()[:8] if options else ""
        return head.removeprefix("softmax-").replace("-", "_").replace(":", "_") + digest

    @staticmethod
    def config(value, names, **own):
        """Config of the softmax that a normalised value names.

        Parameters
        ----------
        value : str
            Normalised value.
        names : dict of str to str or None
            Parameters of the softmax that the engine sets: the engine's parameter that each is, if
            it is one.
        own : dict
            Their values.

        Raises
        ------
        ConfigError
            If its preset or a parameter does not exist, or is the engine's to set.
        """
        head, *options = value.split(",")
        name, _, preset = head.partition(":")
        cls = unit(name)
        known, values = cls.parameters(), {}
        for option in options:
            key, _, text = option.partition("=")
            if key in names or key in ROW_PARAMETERS:
                raise ConfigError(f"Parameter softmax must leave {key} to the engine, "
                                  f"not say {option!r}")
            if key not in known:
                # The config says which one was meant.
                UnitConfig.from_dict({"unit": name, key: text})
            try:
                values[key] = kind_of(known[key]).parse(text)
            except ConfigError as error:
                raise ConfigError(f"Parameter {key} of {name} must be {error}") from None
            except (ValueError, ArithmeticError):
                raise ConfigError(f"Parameter {key} of {name} must be {kind_of(known[key]).allowed}"
                                  f", not {text!r}") from None
        try:
            return cls.preset(preset or next(iter(cls.PRESETS)), **values, **own)
        except ConfigError as error:
            raise _refusal(value, error, names, own) from None


def _refusal(value, error, names, own):
    """What a softmax that can not be built says of the engine's parameters."""
    if error.parameter is None:
        return error
    if names.get(error.parameter):
        return ConfigError.of(names[error.parameter], f"{error.allowed} for softmax {value!r}",
                              error.value)
    given = ", ".join(f"{name or key} {own[key]}" for key, name in names.items())
    return ConfigError.of("softmax", f"one that can be built with {given}",
                          f"{value!r}, whose {error.parameter} must be {error.allowed}, "
                          f"not {error.value}")
