"""Command-line options made from the parameters of config classes, and configs made from options.

An option is named after its parameter (``max_length`` is ``--max-length``) and serves every unit
that has one. The parameter's kind parses its text; the config class validates the value.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .config import ConfigError, UnitConfig, unit, units
from .parameter import derived_of, kind_of, shown

__all__ = ["ArgumentParser", "add_parameters", "configs", "given"]


class ArgumentParser(argparse.ArgumentParser):
    """Parser that takes units and options in any order, and raises its errors."""

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`ConfigError` instead of printing the usage and exiting."""
        raise ConfigError(message[0].upper() + message[1:])

    def parse_args(self, args: Sequence[str] | None = None,
                   namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """Parse arguments; a message about an unknown option names the nearest known one.

        A value may start with a minus: ``--gamma -1,2``.
        """
        parsed, unknown = self.parse_known_intermixed_args(
            self._joined(sys.argv[1:] if args is None else args), namespace)
        if unknown:
            option = unknown[0].partition("=")[0]
            close = difflib.get_close_matches(option, self._option_string_actions, n=1)
            raise ConfigError(f"Option {option!r} does not exist" +
                              (f"; did you mean {close[0]!r}?" if close else ""))
        return parsed

    def _joined(self, args: Sequence[str]) -> list[str]:
        """Arguments, those that start with a negative number as values of the option before."""
        options = [name for name, action in self._option_string_actions.items()
                   if action.nargs is None]
        joined = []
        for argument in args:
            option, _, value = argument.partition("=")
            if value == "--" and option in options:
                raise ConfigError(f"Option {option} must have a value, not '--'")
            if re.match(r"-[\d.]", argument) and joined and joined[-1] in options:
                joined[-1] += f"={argument}"
            else:
                joined.append(argument)
        return joined


def add_parameters(parser: argparse.ArgumentParser,
                   classes: Sequence[type[UnitConfig]] | None = None) -> None:
    """Add an option for every parameter of every unit, in one group for each set of units.

    Of some units only, if ``classes`` names them.
    """
    groups = {}
    for name, owners in _owners(classes).items():
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


def configs(args: argparse.Namespace) -> tuple[list[UnitConfig], dict[str, ConfigError]]:
    """Configs that parsed arguments ask for: ``unit``, ``config``, ``preset`` and the parameters.

    All units, if none is named. An option applies to every unit that has its parameter.

    Returns
    -------
    list of UnitConfig
        The configs.
    dict of ConfigError
        Units that are left out, with the reason, if none is named: a unit that does not take a
        value which others take.

    Raises
    ------
    ConfigError
        If a config can not be built, or an option applies to no unit.
    """
    texts = {name: getattr(args, _dest(name)) for name in _owners()
             if getattr(args, _dest(name)) is not None}
    if args.config is not None:
        return [_from_file(args, texts)], {}
    classes = [unit(name) for name in dict.fromkeys(args.unit or units())]
    _check_reach(classes, texts, args.preset)
    result, refused = [], {}
    for cls in classes:
        try:
            result.append(_config(cls, texts, args.preset, len(classes)))
        except ConfigError as error:
            if args.unit:
                raise
            refused[cls.UNIT] = error
    for name, error in refused.items():
        # What no other unit takes is wrong rather than beyond one of them.
        own = {error.parameter} & {*texts} or {*texts} & {*unit(name).parameters()}
        if not any(own & {*config.parameters()} for config in result):
            raise error
    return result, refused


def given(args: argparse.Namespace, cls: type[UnitConfig]) -> dict[str, Any]:
    """Values of the parameters of one class that parsed arguments give, not yet normalised.

    Raises
    ------
    ConfigError
        If a text stands for no value.
    """
    return _values(cls, {name: text for name in cls.parameters()
                         if (text := getattr(args, _dest(name), None)) is not None})


def _config(cls: type[UnitConfig], texts: dict[str, str], preset: str | None,
            count: int) -> UnitConfig:
    """Config of one of ``count`` classes."""
    values = _values(cls, texts)
    if preset in cls.PRESETS or preset is not None and count == 1:
        return cls.preset(preset, **values)
    return cls(**values)


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
    return UnitConfig.load(args.config, **_values(type(config), texts))


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
            except ConfigError as error:
                raise ConfigError(f"Parameter {name} must be {error}") from None
            except (ValueError, ArithmeticError):
                raise ConfigError.of(name, kind_of(field).allowed, shown(texts[name])) from None
    return values


def _owners(classes: Sequence[type[UnitConfig]] | None = None
            ) -> dict[str, list[type[UnitConfig]]]:
    """Config classes that have each parameter, by its name; of all units, or of some."""
    owners = {}
    for cls in map(unit, units()) if classes is None else classes:
        for name in cls.parameters():
            owners.setdefault(name, []).append(cls)
    return owners


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _dest(name: str) -> str:
    return f"parameter {name}"
