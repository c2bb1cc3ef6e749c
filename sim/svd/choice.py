"""Choice of window and count by a target, on hidden states.

In the preview, the rank of a word is how many words are before it. The exact layer's top word keeps
its place if its rank is below the count; its top five words, if the largest of theirs is. So one
pass over the states gives, for a window, what every count finds:

* a target of agreement asks each window for the least count that finds the top word (the top five)
  in that share of the states, and takes the point of the least arithmetic;
* a target of arithmetic gives each window the count that fits, and takes the point that finds the
  top word most often; of equals, the top five.

The basis is calibrated on other states than those that choose; see :func:`choose`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .agreement import TOP
from .basis import factorise
from .errors import SvdError
from .evaluation import blocks
from .head import Head, States
from .selection import leaders
from .work import count_within, share

__all__ = ["Choice", "choose", "windows"]

# Part of the states that the basis is calibrated on while the others choose.
CALIBRATED = 2 / 3


@dataclasses.dataclass(frozen=True)
class Choice:
    """Chosen point.

    Attributes
    ----------
    window, count : int
        Columns of the preview; words of the full view.
    share : float
        Multiply-accumulates, as a part of the exact layer's.
    top1, top5 : float
        Share of the states, of those that chose, in which the full view has the exact layer's top
        word, and all of its top five.
    """

    window: int
    count: int
    share: float
    top1: float
    top5: float


def windows(dim: int) -> list[int]:
    """Return the windows that are tried: multiples of 1/48 of the columns, up to a half."""
    return sorted({max(1, dim * part // 48) for part in range(1, 25)})


def choose(head: Head, basis: str, states: States, *, agreement: float | None = None,
           top: int = 1, arithmetic: float | None = None,
           residual: bool = False, tried: Sequence[int] | None = None) -> Choice:
    """Return the window and the count of a target.

    The basis is calibrated on the first two thirds of the states, and the others choose.

    Parameters
    ----------
    head : Head
        Layer.
    basis : str
        As of :func:`~sim.svd.basis.factorise`.
    states : States
        Hidden states, three at least.
    agreement : float
        Least share of the states whose top word (``top`` 1) or top five words (5) must be in the
        full view.
    arithmetic : float
        Largest share of the exact layer's multiply-accumulates, in place of ``agreement``.
    residual : bool
        Whether the full view's arithmetic has residuals.
    tried : sequence of int
        Windows; those of :func:`windows` by default.

    Raises
    ------
    SvdError
        If a target can not be, no window reaches it, or the states are too few.
    """
    if (agreement is None) == (arithmetic is None):
        raise SvdError("Target must be either of agreement or of arithmetic")
    for name, value in (("agreement", agreement), ("arithmetic", arithmetic)):
        if value is not None and not 0 < value <= 1:
            raise SvdError(f"Target of {name} must be above 0, and at most 1, not {value}")
    if top not in (1, TOP):
        raise SvdError(f"Target of agreement must be of the top 1 or {TOP} words, not {top}")
    cut = math.ceil(len(states) * CALIBRATED)
    if len(states) < 3 or cut == len(states):
        raise SvdError(f"Window and count must be chosen on three states at least, not "
                       f"{len(states)}")
    tried = windows(head.dim) if tried is None else list(tried)
    factors = factorise(head, basis, states.hidden[:cut])
    found = _ranks(head, factors, states[cut:], tried)
    choices = []
    for window in tried:
        ranks = np.sort(found[window], axis=0)
        if agreement is not None:
            # The least count that has so many of the states.
            needed = math.ceil(agreement * len(ranks) - 1e-9)
            count = int(ranks[max(needed, 1) - 1, 0 if top == 1 else 1]) + 1
        else:
            count = count_within(arithmetic, head.vocabulary, head.dim, window,
                                 residual)
        if count >= 1:
            choices.append(Choice(
                window, count, share(head.vocabulary, head.dim, window, count, residual),
                *(ranks < count).mean(axis=0).tolist()))
    if not choices:
        least = share(head.vocabulary, head.dim, min(tried), 1, residual)
        raise SvdError(f"Target of arithmetic must be at least {least:.4f} for this layer, not "
                       f"{arithmetic}")
    if agreement is not None:
        return min(choices, key=lambda choice: (choice.share, choice.window))
    return max(choices, key=lambda choice: (choice.top1, choice.top5, -choice.window))


def _ranks(head, factors, states, tried):
    """Ranks (states, 2) in the preview of each window: of the top word, the largest of five."""
    found = {window: [] for window in tried}
    words = np.arange(head.vocabulary)
    for block in blocks(head, states):
        best = leaders(head.logits(block.hidden), min(TOP, head.vocabulary))
        rotated = factors.rotate(block.hidden)
        for window in tried:
            preview = factors.preview(rotated, window)
            values = np.take_along_axis(preview, best, 1)
            # The word of the five that comes last.
            last = np.lexsort((-best, values), axis=1)[:, 0]
            rank = []
            for which in (np.zeros(len(best), int), last):
                place = np.arange(len(best)), which
                word, value = best[place][:, None], values[place][:, None]
                rank.append(((preview > value) | ((preview == value) & (words < word))).sum(axis=1))
            found[window].append(np.stack(rank, axis=1))
    return {window: np.concatenate(parts) for window, parts in found.items()}
