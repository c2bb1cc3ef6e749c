"""Providers of stimuli: what the units of a family are tested with.

The units of a family (the word of their name before the first ``-``) take the same streams. The
module of this package that is called like the family provides configurations and inputs for them,
so that a new unit of a known family is tested by being registered; it has the functions of
:class:`Provider`. No provider imports models: :mod:`sim.jobs` adds what must come out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from rtl import ConfigError, UnitConfig

from ..bench.attention import KeySet
from ..bench.jobs import Loads
from ..bench.resident import Script
from ..bench.rows import Rows

__all__ = ["KINDS", "Case", "Inputs", "Provider", "family", "preset", "presets", "provider",
           "random_config"]

KINDS = ("directed", "real", "throughput", "random")

Inputs = Rows | Loads | Sequence[KeySet] | Script
"""What a unit can be given: rows, rows and loads of parameters, sets, or commands to sets."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A configuration to test, and the ports to test it at.

    Attributes
    ----------
    config : UnitConfig
        Configuration of the unit.
    ports : "core" or "axis"
        Ports of the design.
    """

    config: UnitConfig
    ports: str = "core"


class Provider(Protocol):
    """Functions of a provider's module."""

    def cases(self, cls: type[UnitConfig], kind: str) -> Iterator[Case]:
        """Yield the cases of a unit for a kind of :data:`KINDS` other than "random".

        There are some for each kind; for "real", where there is captured data for the unit.
        """

    #: Kinds from which parameters are drawn for a configuration to be small enough to simulate.
    SMALL: Mapping[str, object]

    def random_parameters(self, cls: type[UnitConfig], random: np.random.Generator,
                          bounds: Mapping[str, object]) -> dict[str, object]:
        """Return a random set of parameters, with ``bounds`` in place of their own kinds.

        Not every set makes a configuration.
        """

    def inputs(self, config: UnitConfig, kind: str, random: np.random.Generator, *, beats: int,
               rows: int) -> Inputs:
        """Return the inputs for a configuration: equal ones for equal arguments.

        Parameters
        ----------
        config : UnitConfig
            Any configuration of the family, of a case or not.
        kind : str
            Kind of :data:`KINDS`; "random" is some of the directed inputs, and random ones.
        random : np.random.Generator
            Source of all that is random.
        beats : int
            About how many beats random inputs may have, at a usual width.
        rows : int
            How many random rows a throughput run has beside the hardest sequences; sets take the
            place of rows where there are none.

        Raises
        ------
        ConfigError
            If there is nothing of the kind for this configuration.
        """

    def tests(self, config: UnitConfig, kind: str) -> Sequence[str] | None:
        """Return the tests of the bench to run on such inputs; None for all."""


def family(name: str) -> str:
    """Return the family of the unit called ``name``."""
    return name.partition("-")[0]


def provider(name: str) -> Provider:
    """Return the provider of stimuli for the unit called ``name``.

    Raises
    ------
    ConfigError
        If its family has none.
    """
    module = f"{__package__}.{family(name)}"
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"Unit {name!r} can not be tested: its family {family(name)!r} has no "
                          f"provider of stimuli, the module {module}")
    return importlib.import_module(module)


def presets(cls: type[UnitConfig]) -> tuple[str | None, ...]:
    """Return the names of a unit's presets; None stands for that of a unit without."""
    return tuple(cls.PRESETS) or (None,)


def preset(cls: type[UnitConfig], name: str | None, **values: object) -> UnitConfig:
    """Return a preset with those of ``values`` that the unit has as parameters."""
    values = {key: value for key, value in values.items() if key in cls.parameters()}
    return cls(**values) if name is None else cls.preset(name, **values)


def random_config(cls: type[UnitConfig], random: np.random.Generator,
                  **bounds: object) -> UnitConfig:
    """Return a config of class ``cls`` with every parameter drawn, small enough to simulate.

    Sets that the class refuses are drawn again. ``bounds`` are kinds of parameters, on top of the
    provider's ``SMALL``.

    Raises
    ------
    ConfigError
        If its family has no provider, or the class refuses every set.
    """
    source = provider(cls.UNIT)
    bounds = {**source.SMALL, **bounds}
    for _ in range(10_000):
        with contextlib.suppress(ConfigError):
            return cls(**source.random_parameters(cls, random, bounds))
    raise ConfigError(f"Unit {cls.UNIT!r} refuses every combination of parameters that was tried")
