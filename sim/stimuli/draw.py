"""Random parameter sets, drawn from the kinds of the parameters, and draws that families share.

One distribution serves the random configurations of the regression and the fuzz
(:mod:`sim.fuzzing`): every parameter is drawn by its kind (:func:`value`), or keeps the value of a
preset, since some have an effect together only (:func:`parameters`). :func:`simpler` gives what a
value may shrink to (:mod:`sim.shrinking`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rtl import ConfigError, UnitConfig
from rtl.parameter import (
    Choice,
    Flag,
    Integer,
    Integers,
    NonNegativeReal,
    PositiveReal,
    Words,
    kind_of,
)

from ..bench.rows import Rows

__all__ = ["Each", "Narrow", "Only", "Table", "UpTo", "budget", "fitting", "hard_lengths",
           "own_kind", "parameters", "simpler", "value"]

# Most lengths between the longest and the shortest row of a causal sequence.
CAUSAL_ROWS = 256

# Lanes up to which a row takes a simulator equally long per beat.
USUAL_LANES = 16

# Of a hundred draws: sets that keep nothing of a preset, parameters that do in the others, draws
# of a narrowed parameter from its whole kind.
FREE, KEPT, WHOLE = 30, 60, 3

# Of a hundred sets: those whose refused parameters are drawn again, at most so many times.
REPAIRED, REPAIRS = 70, 20

Narrow = Callable[[str, object, Mapping[str, Any]], object]
"""Kind to draw a parameter from, by its name, its own kind and the values drawn before it."""


# Kinds that parameters are narrowed to

@dataclasses.dataclass(frozen=True)
class Only:
    """One value."""

    value: object


@dataclasses.dataclass(frozen=True)
class UpTo:
    """A positive number up to ``high``."""

    high: float


@dataclasses.dataclass(frozen=True)
class Each:
    """``count`` integers in ``low..high``, or none."""

    low: int
    high: int
    count: int


@dataclasses.dataclass(frozen=True)
class Table:
    """Words of a table, or none: ``rows`` of ``columns`` words in ``0..largest``.

    With ``order`` -1 they do not rise from word to word; with 1 they do not fall from row to row,
    and the first row is 0.
    """

    largest: int
    columns: int
    rows: int = 1
    order: int = 0


# Values

@functools.singledispatch
def value(kind: object, default: object, random: np.random.Generator) -> object:
    """Return a value of a parameter, by its kind: its limits and small ones more often than others.

    The default, if the kind is none that can be drawn.
    """
    return default


@value.register
def _integer(kind: Integer, default, random):
    way = random.random()
    if way < 0.1:
        return kind.low
    if way < 0.2:
        return kind.high
    if way < 0.6:
        return int(random.integers(kind.low, kind.high + 1))
    size = kind.high - kind.low + 1
    return kind.low + min(int(size ** random.random()), size) - 1


@value.register
def _choice(kind: Choice, default, random):
    return kind.values[random.integers(len(kind.values))]


@value.register
def _flag(kind: Flag, default, random):
    return bool(random.integers(2))


@value.register
def _positive(kind: PositiveReal, default, random):
    way = random.random()
    if way < 0.4:
        return 2.0 ** int(random.integers(-8, 3))
    if way < 0.85:
        return float(2.0 ** random.uniform(-8, 3))
    if way < 0.95:
        return float(2.0 ** random.uniform(-20, 8))
    # All that the kind allows, and its ends.
    return 2.0 ** float(random.choice([-64, 64, random.integers(-64, 65),
                                       random.uniform(-64, 64)]))


@value.register
def _non_negative(kind: NonNegativeReal, default, random):
    way = random.random()
    if way < 0.3:
        return 0.0
    return float(random.uniform(0, 100)) if way < 0.8 else value(PositiveReal(), default, random)


@value.register
def _only(kind: Only, default, random):
    return kind.value


@value.register
def _up_to(kind: UpTo, default, random):
    return kind.high if random.random() < 0.1 else float(kind.high * 2.0 ** random.uniform(-16, 0))


@value.register
def _integers(kind: Integers, default, random):
    if random.random() < 0.8:
        return ()
    return value(Each(kind.low, kind.high, int(random.integers(1, 9))), default, random)


@value.register
def _each(kind: Each, default, random):
    if random.random() < 0.2:
        return ()
    values = random.integers(kind.low, kind.high, kind.count, endpoint=True)
    # The ends of the range, and 0.
    ends = random.choice([kind.low, kind.high, min(max(0, kind.low), kind.high)], kind.count)
    return tuple(np.where(random.random(kind.count) < 0.1, ends, values).tolist())


@value.register
def _words(kind: Words, default, random):
    return value(Table(1 << int(random.integers(33)), int(random.integers(1, 40))), default, random)


@value.register
def _table(kind: Table, default, random):
    way = random.random()
    if way < 0.7:
        return ()
    largest = 0 if way < 0.72 else kind.largest
    words = random.integers(0, largest, (kind.rows, kind.columns), endpoint=True)
    if kind.order > 0:
        words = np.sort(words, axis=0)
        words[0] = 0
    words = words.ravel()
    if kind.order < 0:
        words = np.sort(words)[::-1]
    return tuple(words.tolist())


# Sets

def own_kind(name: str, kind: object, values: Mapping[str, Any]) -> object:
    """Return the kind of a parameter that is not narrowed."""
    return kind


def parameters(cls: type[UnitConfig], random: np.random.Generator, *,
               bounds: Mapping[str, object], narrow: Narrow = own_kind,
               first: Sequence[str] = ()) -> dict[str, Any]:
    """Return a random set of parameters; not every one makes a configuration.

    Parameters
    ----------
    cls : type
        Config class of the unit.
    random : np.random.Generator
        Source of all that is random.
    bounds : mapping of kinds
        What parameters are drawn from in place of their own kinds.
    narrow : callable
        What a parameter is drawn from as a rule, since few sets would be allowed otherwise.
    first : sequence of str
        Parameters that others are narrowed by.
    """
    fields = cls.parameters()
    known = [{}, *cls.PRESETS.values()]
    near = known[random.integers(len(known))]
    free = random.random() < FREE / 100
    values, kinds = {}, {}
    for name in dict.fromkeys((*first, *fields)):
        usual = near.get(name, fields[name].default)
        kind = bounds.get(name, kind_of(fields[name]))
        if random.random() >= WHOLE / 100:
            kind = narrow(name, kind, values)
        kinds[name] = kind
        kept = not free and random.random() < KEPT / 100
        if kept and not isinstance(kind, Each) and _allows(kind, usual):
            values[name] = usual
        else:
            values[name] = value(kind, usual, random)
    if random.random() < REPAIRED / 100:
        _repair(cls, values, kinds, random)
    return values


def _repair(cls, values, kinds, random):
    """Draw parameters that are refused again, one by one."""
    fields = cls.parameters()
    for _ in range(REPAIRS):
        try:
            cls(**values)
        except ConfigError as error:
            name = error.parameter
            if name not in values:
                return
            usual = [fields[name].default, *(preset[name] for preset in cls.PRESETS.values()
                                             if name in preset)]
            values[name] = value(kinds[name], usual[0], random)
            if random.random() < 0.5:
                usual = [each for each in usual if _allows(kinds[name], each)]
                values[name] = usual[random.integers(len(usual))] if usual else values[name]
        except Exception:
            # For whoever asked for the set to find.
            return
        else:
            return


def _allows(kind: object, value: object) -> bool:
    # A default may be None: what it is follows from other parameters.
    if value is None or not hasattr(kind, "normalise"):
        return True
    try:
        kind.normalise(value)
    except ValueError:
        return False
    return True


def simpler(kind: object, found: Any, usual: Any) -> Sequence[Any]:
    """Return what a parameter's value may be replaced by, simplest first; not ``found`` itself.

    ``usual`` is the value of a preset. A range where all between are worth a try.
    """
    if found == usual:
        return ()
    if isinstance(kind, Integer):
        return (usual, *range(kind.low, found))
    if isinstance(kind, Choice):
        return (usual, *(each for each in kind.values if each not in (usual, found)))
    if isinstance(found, float):
        return tuple(each for each in dict.fromkeys(
            (usual, 1.0, 2.0 ** round(np.log2(found or 1.0)))) if each != found)
    if isinstance(found, tuple) and found:
        # As many of one value.
        ends = (found[0],) * len(found), (found[-1],) * len(found)
        return (usual, *(each for each in ends if each != found))
    return (usual,)


# Rows

def fitting(rows: Rows, lanes: int, random: np.random.Generator, beats: int) -> Rows:
    """Return some of the rows, at random: as many as fit into ``beats`` beats, one at least."""
    order = random.permutation(len(rows))
    ends = np.cumsum(rows.beats(lanes)[order])
    return rows.take(order[:max(int(np.searchsorted(ends, beats, "right")), 1)])


def budget(beats: int, lanes: int) -> int:
    """Return the beats of ``lanes`` lanes that take about as long as ``beats`` usual ones."""
    return beats * USUAL_LANES // max(lanes, USUAL_LANES)


def hard_lengths(config: UnitConfig, random: np.random.Generator) -> list[int]:
    """Return lengths of rows whose sequence asks most of a unit that must take every beat.

    One-beat rows for ever, and behind long rows: as many as are inside at a time, and half as many.
    Rows of causal attention, up and down; the longest and the shortest in turn.
    """
    longest, lanes = config.max_length, min(config.lanes, config.max_length)
    room = config.max_beats + config.row_latency(config.max_beats)
    one_beat = random.integers(1, lanes, 4 * room, endpoint=True).tolist()
    causal = range(longest, 0, -(-longest // CAUSAL_ROWS))
    return [
        *one_beat,
        *[longest, *one_beat[:room]] * 3,
        *[longest, *one_beat[:config.max_beats]] * 3,
        *[longest, longest, *one_beat[:room // 2]] * 3,
        *causal, *reversed(causal),
        *[longest, 1] * 4,
        *[min(lanes + 1, longest), 1] * 8,
    ]
