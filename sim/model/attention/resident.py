"""Integer model of sets of keys and values that stay in the engine and grow.

Commands come in one order. Each set has a region of ``regions.capacity`` keys; see
:class:`rtl.attention.resident.regions.Regions` for the address of a position. A query at position
``p`` sees the key at position ``j`` iff the set holds it unmasked, ``j <= p`` (``causal``), and ``p
- j < window`` (0: any) or ``j < sinks``.

The row of a query begins with the words of the sinks, followed by the words of the ring from the
one that holds the oldest key of the window, so that an element's lane is its position modulo
``lanes`` and rows do not depend on how the keys were appended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import Requantiser, Scaling

from .biases import checked
from .resident_set import ResidentSet

__all__ = ["Answer", "Append", "Command", "Head", "Query", "ResidentSets", "SetHead", "Truncate",
           "Values", "run"]

# Dot products that are worked on at a time.
CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True)
class Head:
    """Numbers of a query head.

    Attributes
    ----------
    logit : Requantiser or Scaling
        From dot products to logits; the offset of a scaling is in logit steps.
    output : Requantiser or Scaling
        From weighted sums to outputs.
    sink : rtl.attention.sink.Sink or None
        Sink of its rows; None without ``config.sink``.
    """

    logit: Requantiser | Scaling
    output: Requantiser | Scaling
    sink: object = None

    @classmethod
    def of(cls, config: UnitConfig) -> Head:
        """Return those of a configuration."""
        return cls(config.logit, config.output, config.fixed_sink)


@dataclasses.dataclass(frozen=True)
class SetHead:
    """Numbers of a head, for queries that follow.

    Attributes
    ----------
    head : int
        Number of the head.
    numbers : Head
        Its numbers.
    """

    head: int
    numbers: Head


@dataclasses.dataclass(frozen=True, eq=False)
class Append:
    """Keys and values at the end of a set.

    Attributes
    ----------
    set : int
        Number of the set.
    k, v : int arrays (keys, dim), (keys, value_dim)
        Keys and values.
    mask : bool array (keys,) or None
        True: the key takes no part.
    late : bool
        The values come with the next append that is not late, or with :class:`Values`.
    """

    set: int
    k: np.ndarray
    v: np.ndarray
    mask: np.ndarray | None = None
    late: bool = False


@dataclasses.dataclass(frozen=True)
class Values:
    """All values arrive that are late."""


@dataclasses.dataclass(frozen=True)
class Truncate:
    """Positions from ``keys`` on leave a set; with 0 the set is free.

    Attributes
    ----------
    set : int
        Number of the set.
    keys : int
        Keys that stay, counted from position 0, modulo ``2**position_bits``; 0 is always none.
    abort : bool
        Values that are late go too: queries that wait for them fail.
    """

    set: int
    keys: int = 0
    abort: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """Queries of one head to a set.

    Attributes
    ----------
    set : int
        Number of the set.
    q : int array (queries, dim)
        Queries.
    offset : int
        Position of the first one, modulo ``2**position_bits``; the others follow.
    head : int
        Number of the head.
    bias : int array (queries, elements) or None
        Biases of each query's row, in the order of its elements: word by word, each of ``lanes``
        keys. What is behind a row's end does not count. None: 0 for all.
    """

    set: int
    q: np.ndarray
    offset: int = 0
    head: int = 0
    bias: np.ndarray | None = None


Command = Append | Values | Truncate | Query | SetHead


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """Answer to a command :class:`Query`.

    Attributes
    ----------
    y : int32 array (queries, value_dim)
        Outputs.
    marked : bool array (queries,)
        The answer failed, and is 0: the set was not there, had no keys, had refused an append, or
        had no longer what the query sees.
    row_words : int64 array (queries,)
        Words of keys of each query's row, one at least; 1 of an answer that failed.
    """

    y: np.ndarray
    marked: np.ndarray
    row_words: np.ndarray


def run(config: UnitConfig, regions: object, commands: Iterable[Command],
        heads: Sequence[Head] | None = None) -> list[Answer]:
    """Compute the answers to the queries among commands, in their order.

    Parameters as of :class:`ResidentSets`.
    """
    sets = ResidentSets(config, regions, heads)
    for command in commands:
        sets.execute(command)
    return sets.answers


class ResidentSets:
    """The sets, and what they have answered.

    Parameters
    ----------
    config : AttentionConfig
        Numbers of the engine. Rows of its softmax have ``regions.row_keys`` elements at most.
    regions : Regions
        The memory, and what a query sees.
    heads : sequence of Head or None
        Numbers of each head; by default those of ``config``.

    Attributes
    ----------
    answers : list of Answer
        One for each command :class:`Query`.
    error : bool
        An append was refused, or a command named a set or a head that is not there.
    """

    def __init__(self, config: UnitConfig, regions: object,
                 heads: Sequence[Head] | None = None) -> None:
        self.config, self.regions = config, regions
        self.heads = list(heads or [Head.of(config)] * config.heads)
        self.answers: list[Answer] = []
        self.error = False
        self._sets = [ResidentSet(config, regions) for _ in range(regions.sets)]

    def execute(self, command: Command) -> None:
        """Execute a command.

        Raises
        ------
        TypeError, ValueError
            If an array is not of integers (of booleans), out of the range of ``config.bits``, or of
            a shape that does not fit.
        """
        if isinstance(command, Values):
            self._arrive()
        elif isinstance(command, Append):
            self._append(command)
        elif isinstance(command, SetHead):
            there = 0 <= command.head < len(self.heads)
            self.error |= not there
            if there:
                self.heads[command.head] = command.numbers
        elif isinstance(command, Truncate):
            if self._is_there(command.set):
                self._sets[command.set].truncate(command.keys, command.abort)
        else:
            self._query(command)

    def _is_there(self, number):
        there = 0 <= number < len(self._sets)
        self.error |= not there
        return there

    def _arrive(self):
        for each in self._sets:
            each.arrive()

    def _append(self, command):
        config = self.config
        k = _checked(config, "Keys", command.k, config.dim)
        v = _checked(config, "Values", command.v, config.value_dim)
        if len(k) != len(v):
            raise ValueError(f"Values must be as many as the keys, {len(k)}, not {len(v)}")
        mask = np.zeros(len(k), bool) if command.mask is None else np.asarray(command.mask)
        if mask.dtype != bool or mask.shape != (len(k),):
            raise ValueError(f"Mask must be {len(k)} booleans, not {mask.shape} of {mask.dtype}")
        # Values come in the order of their keys, whatever the set.
        if not command.late:
            self._arrive()
        if self._is_there(command.set):
            self.error |= not self._sets[command.set].append(k, v, mask, late=command.late)

    def _query(self, command):
        q = _checked(self.config, "Queries", command.q, self.config.dim)
        answer = Answer(np.zeros((len(q), self.config.value_dim), np.int32),
                        np.ones(len(q), bool), np.ones(len(q), np.int64))
        bias = checked(self.config, command.bias, (len(q), self.regions.row_keys))
        self.answers.append(answer)
        if not self._is_there(command.set) or not 0 <= command.head < len(self.heads):
            self.error = True
            return
        step = max(1, CHUNK // self.regions.capacity)
        for start in range(0, len(q), step):
            part = slice(start, start + step)
            self._sets[command.set].answer(
                self.heads[command.head], q[part], command.offset + start,
                None if bias is None else bias[part],
                Answer(answer.y[part], answer.marked[part], answer.row_words[part]))


def _checked(config, name, x, dim):
    x = np.asarray(x)
    low, high = config.element_range
    if x.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {x.dtype}")
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{name} must have the shape (number, {dim}), not {x.shape}")
    if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
        raise ValueError(f"{name} must be in {low}..{high}, not {int(x.min())}..{int(x.max())}")
    return x.astype(np.int64)
