"""Attention masks: from what models hand over to the elements that take no part, and a bias."""

from __future__ import annotations

import dataclasses

import torch

from .errors import AccuracyError
from .logits import NEVER

__all__ = ["NEVER", "EngineMask", "causal", "engine_mask", "live_queries", "padded_queries",
           "split_mask"]


def split_mask(mask: torch.Tensor | None,
               logits: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return ``(dead, bias)``: elements that take no part, and what is added to the logits.

    Each is None where there is none.

    Parameters
    ----------
    mask : None, or boolean or float tensor, broadcastable to ``logits``
        Boolean: true where the element takes part (PyTorch's attention, Transformers' masks).
        Float: added to the logits; elements of less than -9000 take no part.
    logits : float tensor, shape (batch, heads, queries, keys)
        What the mask is for.
    """
    if mask is None:
        return None, None
    if mask.ndim and mask.shape[-1] > logits.shape[-1]:
        # A mask made for a static cache is longer than the keys that are there.
        mask = mask[..., :logits.shape[-1]]
    try:
        torch.broadcast_shapes(mask.shape, logits.shape)
    except RuntimeError:
        raise AccuracyError(f"Attention mask must fit logits of the shape {tuple(logits.shape)}, "
                            f"not {tuple(mask.shape)}") from None
    if mask.dtype == torch.bool:
        dead, bias = ~mask, None
    elif mask.is_floating_point():
        dead, bias = mask < NEVER, mask
        if not torch.any(torch.where(dead, 0.0, mask)):
            bias = None
    else:
        raise AccuracyError(f"Attention mask must be boolean or float, not {mask.dtype}")
    return (dead if dead.any() else None), bias


def causal(queries: int, keys: int, *, offset: int, window: int = 0) -> torch.Tensor:
    """Return a boolean mask (queries, keys): query i takes keys up to ``i + offset``.

    With a ``window``, the last so many of them only.
    """
    taken = torch.ones(queries, keys, dtype=torch.bool).tril(offset)
    return taken.triu(offset - window + 1) if window else taken


def padded_queries(dead: torch.Tensor | None, shape: torch.Size) -> torch.Tensor | None:
    """Return which queries are padding, broadcastable to (batch, heads, queries), or None.

    Where queries and keys are the same tokens, a key that no query takes is padding, and its own
    query counts in no statistic.
    """
    if dead is None or shape[-1] != shape[-2] or dead.ndim < 2:
        return None
    never = dead.all(dim=-2)
    return never if never.any() else None


def live_queries(dead: torch.Tensor | None, shape: torch.Size) -> torch.Tensor:
    """Return which queries (batch, heads, queries) count in statistics.

    Those of padding do not, nor those without a key.
    """
    live = torch.ones(shape[:-1], dtype=torch.bool)
    padded = padded_queries(dead, shape)
    if padded is not None:
        live &= ~padded
    if dead is not None:
        live &= ~dead.all(-1)
    return live


@dataclasses.dataclass(frozen=True, eq=False)
class EngineMask:
    """A mask as an engine takes it.

    Attributes
    ----------
    keys : None, or boolean tensor, broadcastable to (batch, heads, keys)
        Keys that take no part.
    causal : bool or None
        Whether query i takes the keys 0 to ``i + start`` only; None for a single query, of which
        this does not show.
    start : int
        Number of the first query in its set.
    window : int
        Keys up to its own that query i takes; 0 for all, or if this does not show.
    """

    keys: torch.Tensor | None
    causal: bool | None
    start: int
    window: int = 0

    def dead(self, shape: torch.Size) -> torch.Tensor | None:
        """Return the elements of logits of ``shape`` that take no part."""
        dead = None if self.keys is None else self.keys[..., None, :]
        if not self.causal:
            return dead
        triangle = ~causal(*shape[-2:], offset=self.start, window=self.window)
        return triangle[None, None] if dead is None else dead | triangle


def engine_mask(dead: torch.Tensor | None, is_causal: bool,
                shape: torch.Size) -> EngineMask | None:
    """Return a mask of keys, causal or not, that leaves out what ``dead`` does; None without one.

    A causal one may have a window.

    Parameters
    ----------
    dead : None, or boolean tensor, broadcastable to ``shape``
        Elements that take no part.
    is_causal : bool
        A query takes the keys up to its own; the last query and the last key are of one token.
    shape : sizes (batch, heads, queries, keys)
        Shape of the logits.
    """
    queries, keys = shape[-2:]
    end = keys - queries
    if is_causal and queries > 1:
        triangle = ~causal(queries, keys, offset=end)
        dead = triangle if dead is None else dead | triangle
    if dead is None:
        return EngineMask(None, None if queries == 1 else False, end)
    dead = dead.reshape(*[1] * (4 - dead.ndim), *dead.shape)
    dead = dead.expand(*dead.shape[:2], queries, keys)
    padded = dead.all(dim=-2)
    found = padded if padded.any() else None
    if queries == 1:
        return EngineMask(found, None, end)
    if bool((dead == padded[..., None, :]).all()):
        return EngineMask(found, False, end)
    # PyTorch's own causal attention begins with the first key.
    for start in {end, 0}:
        hidden = padded[..., None, :] | ~causal(queries, keys, offset=start)
        if start >= 0 and bool((dead == hidden).all()):
            return EngineMask(found, True, start)
    distance = torch.arange(queries)[:, None] + end - torch.arange(keys)
    window = int(torch.where(dead, -1, distance).max()) + 1
    windowed = EngineMask(found, True, end, window)
    return windowed if window > 0 and bool((dead == windowed.dead(shape)).all()) else None
