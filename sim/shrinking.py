"""A configuration that fails, shrunk to a small one that fails too, by Hypothesis.

Hypothesis looks for a set of parameters each of which has the value of a preset, a simpler one of
its kind (:func:`sim.stimuli.draw.simpler`) or the one that failed. It begins with the set that
failed, and replaces as many values as it can.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rtl import ConfigError, UnitConfig
from rtl.parameter import kind_of

from .stimuli.draw import simpler

__all__ = ["SECONDS", "difference", "in_time", "shrink", "shrink_config"]

Tried = TypeVar("Tried")

# Time to shrink one failure.
SECONDS = 60.0

# How much likelier a parameter is first drawn as it was than anew.
LIKELY = 100


def shrink(cls: type[UnitConfig], found: Mapping[str, Any],
           fails: Callable[[dict[str, Any]], bool], seconds: float = SECONDS) -> dict[str, Any]:
    """Return a set of parameters that fails, as simple as can be found in the time.

    Without Hypothesis, which is installed with the tests, what failed.

    Parameters
    ----------
    cls : type
        Config class of the unit.
    found : mapping
        Parameters of what failed; others have their defaults.
    fails : callable
        Whether a set of parameters fails; of what is refused it is to be false.
    seconds : float
        Time after which nothing more is tried.
    """
    try:
        import hypothesis
        from hypothesis import strategies
    except ImportError:
        return dict(found)

    fields = cls.parameters()
    found = {name: found.get(name, field.default) for name, field in fields.items()}
    presets = [{}, *cls.PRESETS.values()]
    usual = [{name: preset.get(name, field.default) for name, field in fields.items()}
             for preset in presets]
    until, known = time.monotonic() + seconds, {}

    @strategies.composite
    def sets(draw: Callable) -> dict[str, Any]:
        near = usual[draw(strategies.integers(0, len(usual) - 1))]
        values = {}
        for name, field in fields.items():
            options = simpler(kind_of(field), found[name], near[name])
            # A small number stands for a simple value, which is what numbers shrink to.
            number = draw(strategies.integers(0, LIKELY * (len(options) + 1)))
            values[name] = options[number] if number < len(options) else found[name]
        return values

    def tried(values: dict[str, Any]) -> bool:
        if values == found:
            known["begun"] = True
            return True
        key = repr(values)
        if key not in known:
            # What is drawn by chance before the set that failed is no smaller one.
            worth = "begun" in known or values in usual
            known[key] = worth and time.monotonic() < until and bool(fails(values))
        return known[key]

    settings = hypothesis.settings(
        max_examples=1000, database=None, deadline=None, derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck))
    try:
        return hypothesis.find(sets(), tried, settings=settings)
    except hypothesis.errors.NoSuchExample:
        return found


def shrink_config(config: UnitConfig, fails: Callable[[UnitConfig], bool],
                  seconds: float = SECONDS) -> UnitConfig:
    """Return a configuration that fails, by :func:`shrink`."""
    def built(values: dict[str, Any]) -> bool:
        try:
            return fails(type(config)(**values))
        except ConfigError:
            return False

    values = {name: getattr(config, name) for name in config.parameters()}
    return type(config)(**shrink(type(config), values, built, seconds))


def in_time(fails: Callable[[Tried], bool], seconds: float = SECONDS) -> Callable[[Tried], bool]:
    """Return ``fails`` as a function that says false of what it has no answer for in the time.

    A simulation can not be interrupted, so each call has a process of its own.

    Parameters
    ----------
    fails : callable
        Whether something fails.
    seconds : float
        Time from now on, for all calls.
    """
    until, context = time.monotonic() + seconds, multiprocessing.get_context("fork")

    def tried(what: Tried) -> bool:
        left = until - time.monotonic()
        if left <= 0:
            return False
        receiver, sender = context.Pipe(duplex=False)

        def answer() -> None:
            os.setsid()
            sender.send(bool(fails(what)))

        process = context.Process(target=answer)
        process.start()
        sender.close()
        try:
            return receiver.poll(left) and receiver.recv()
        except EOFError:
            return False
        finally:
            # And what it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.join()

    return tried


def difference(cls: type[UnitConfig], values: Mapping[str, Any]) -> str:
    """Return the parameters that are no defaults, as a text."""
    fields = cls.parameters()
    return ", ".join(f"{name}={value!r}" for name, value in values.items()
                     if value != fields[name].default) or "the defaults"
