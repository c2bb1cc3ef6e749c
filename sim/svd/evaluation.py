"""Figures of SVD-softmax in real numbers, on hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .agreement import Agreement, Exact, Tally
from .basis import Factors
from .errors import SvdError
from .head import Head, States
from .selection import leaders
from .work import share

__all__ = ["blocks", "check_point", "evaluate"]

# Logits that are worked on at a time.
CHUNK = 1 << 21


def blocks(head: Head, states: States, logits: int | None = None) -> Iterator[States]:
    """Cut states into blocks of so many logits at most, but one state at least."""
    step = max(1, (CHUNK if logits is None else logits) // head.vocabulary)
    for start in range(0, len(states), step):
        yield states[start:start + step]


def evaluate(head: Head, factors: Factors, states: States, points: Iterable[tuple[int, int]],
             advance: Callable[[int], object] = lambda done: None) -> list[Agreement]:
    """Return the figures of each point, a window and a count, in their order.

    The ``count`` words of the largest preview logits have their exact logit, the others that of the
    preview. ``advance`` is told how many states are done.

    Raises
    ------
    SvdError
        If a point is out of range.
    """
    points = list(points)
    for window, count in points:
        check_point(head, window, count)
    tallies = {point: Tally() for point in points}
    counts: dict[int, list[int]] = {}
    for window, count in tallies:
        counts.setdefault(window, []).append(count)
    for block in blocks(head, states):
        exact = Exact(head.logits(block.hidden), block.label)
        rotated = factors.rotate(block.hidden)
        for window, wanted in counts.items():
            preview = factors.preview(rotated, window)
            order = leaders(preview, max(wanted))
            for count in wanted:
                mixed, chosen = preview.copy(), order[:, :count]
                np.put_along_axis(mixed, chosen, np.take_along_axis(exact.logits, chosen, 1), 1)
                tallies[window, count].add(exact, mixed)
        advance(len(block))
    return [tallies[window, count].result(
        window, count, share(head.vocabulary, head.dim, window, count))
        for window, count in points]


def check_point(head: Head, window: int, count: int) -> None:
    """Refuse a window or a count that is out of range."""
    for name, value, most in (("window", window, head.dim), ("count", count, head.vocabulary)):
        if not 1 <= value <= most:
            raise SvdError(f"Parameter {name} must be an integer in 1..{most}, not {value}")
