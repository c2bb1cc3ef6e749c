"""Command-line options made from the parameters of config classes, and configs made from options.

An option is named after its parameter (``max_length`` is ``--max-length``) and serves every unit
that has one. The parameter's kind parses its text; the config class validates the value.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from .config import ConfigError, UnitConfig, unit, units
from .parameter import derived_of, kind_of

__all__ = ["ArgumentParser", "add_parameters", "configs"]


class ArgumentParser(argparse.ArgumentParser):
    """Parser that takes units and options in any order, and raises its errors."""

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`ConfigError` instead of printing the usage and exiting."""
        raise ConfigError(message[0].upper() + message[1:])

    def parse_args(self, args: Sequence[str] | None = None,
                   namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """Parse arguments; a message about an unknown option names the nearest known one."""
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            option = unknown[0].partition("=")[0]
            close = difflib.get_close_matches(option, self._option_string_actions, n=1)
            raise ConfigError(f"Option {option!r} does not exist" +
                              (f"; did you mean {close[0]!r}?" if close else ""))
        return parsed


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add an option for every parameter of every unit, in one group for each set of units."""
    groups = {}
    for name, owners in _owners().items():
        key = tuple(cls.UNIT for cls in owners)
        if key not in groups:
            groups[key] = parser.add_argument_group("parameters of " + ", ".join(key))
        field = owners[0].parameters()[name]
        defaults = {cls.parameters()[name].default for cls in owners}
        default = f"default {field.default}" if len(defaults) == 1 else "default depends on unit"
        if derived_of(field):
            default = f"default: {derived_of(field).text}"
        text = f"{field.metadata['help']} ({kind_of(field).allowed}; {default})"
        groups[key].add_argument(_option(name), dest=_dest(name), metavar="VALUE",
                                 help=text.replace("%", "%%"))


def configs(args: argparse.Namespace) -> list[UnitConfig]:
    """Configs that parsed arguments ask for: ``unit``, ``config``, ``preset`` and the parameters.

    All units, if none is named. An option applies to every unit that has its parameter.

    Raises
    ------
    ConfigError
        If a config can not be built, or an option applies to no unit.
    """
    texts = {name: getattr(args, _dest(name)) for name in _owners()
             if getattr(args, _dest(name)) is not None}
    if args.config is not None:
        return [_from_file(args, texts)]
    classes = [unit(name) for name in dict.fromkeys(args.unit or units())]
    _check_reach(classes, texts, args.preset)
    result = []
    for cls in classes:
        values = _values(cls, texts)
        if args.preset in cls.PRESETS or args.preset is not None and len(classes) == 1:
            result.append(cls.preset(args.preset, **values))
        else:
            result.append(cls(**values))
    return result


def _from_file(args: argparse.Namespace, texts: dict[str, str]) -> UnitConfig:
    config = UnitConfig.load(args.config)
    for name in args.unit:
        if unit(name) is not type(config):
            raise ConfigError(f"Unit must be {config.UNIT!r}, as {args.config!r} says, "
                              f"not {name!r}")
    if args.preset is not None:
        raise ConfigError(f"Option --preset must not be given together with --config; "
                          f"write preset = {args.preset!r} into {args.config!r}")
    _check_reach([type(config)], texts, None)
    return UnitConfig.from_dict({**config.to_dict(), **_values(type(config), texts)})


def _check_reach(classes: Sequence[type[UnitConfig]], texts: dict[str, str],
                 preset: str | None) -> None:
    """Refuse options and presets that apply to none of the classes."""
    names = ", ".join(cls.UNIT for cls in classes)
    for name in texts:
        if not any(name in cls.parameters() for cls in classes):
            owners = ", ".join(cls.UNIT for cls in _owners()[name])
            raise ConfigError(f"Option {_option(name)} must be used with {owners}, "
                              f"not with {names}")
    if preset is not None and len(classes) > 1:
        known = dict.fromkeys(name for cls in classes for name in cls.PRESETS)
        if preset not in known:
            raise ConfigError(f"Preset must be one of {', '.join(known)}, not {preset!r}")


def _values(cls: type[UnitConfig], texts: dict[str, str]) -> dict[str, Any]:
    """Values of those options that are parameters of a config class."""
    values = {}
    for name, field in cls.parameters().items():
        if name in texts:
            try:
                values[name] = kind_of(field).parse(texts[name])
            except (ValueError, ArithmeticError):
                raise ConfigError(f"Parameter {name} must be {kind_of(field).allowed}, "
                                  f"not {texts[name]!r}") from None
    return values


def _owners() -> dict[str, list[type[UnitConfig]]]:
    """Config classes that have each parameter, by its name."""
    owners = {}
    for cls in map(unit, units()):
        for name in cls.parameters():
            owners.setdefault(name, []).append(cls)
    return owners


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _dest(name: str) -> str:
    return f"parameter {name}"
