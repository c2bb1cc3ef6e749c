"""Draws that several families of units share: values of parameters, and some of many rows."""

from __future__ import annotations

import numpy as np

from rtl import UnitConfig
from rtl.parameter import Choice, Flag, Integer, PositiveReal

from ..bench.rows import Rows

__all__ = ["budget", "fitting", "hard_lengths", "value"]

# Most lengths between the longest and the shortest row of a causal sequence.
CAUSAL_ROWS = 256

# Lanes up to which a row takes a simulator equally long per beat.
USUAL_LANES = 16


def value(kind: object, default: object, random: np.random.Generator) -> object:
    """Return a value of a parameter, by its kind: its limits and small ones more often than others.

    The default, if the kind is none that can be drawn.
    """
    if isinstance(kind, Integer):
        way = random.random()
        if way < 0.1:
            return kind.low
        if way < 0.2:
            return kind.high
        if way < 0.6:
            return int(random.integers(kind.low, kind.high + 1))
        size = kind.high - kind.low + 1
        return kind.low + min(int(size ** random.random()), size) - 1
    if isinstance(kind, Choice):
        return kind.values[random.integers(len(kind.values))]
    if isinstance(kind, Flag):
        return bool(random.integers(2))
    if isinstance(kind, PositiveReal):
        way = random.random()
        if way < 0.4:
            return 2.0 ** int(random.integers(-8, 3))
        if way < 0.9:
            return float(2.0 ** random.uniform(-8, 3))
        return float(2.0 ** random.uniform(-20, 8))
    return default


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
