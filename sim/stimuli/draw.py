"""Draws that several families of units share: values of parameters, and some of many rows."""

from __future__ import annotations

import numpy as np

from rtl.parameter import Choice, Flag, Integer, PositiveReal

from ..bench.rows import Rows

__all__ = ["budget", "fitting", "value"]

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
