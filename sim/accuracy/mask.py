"""Attention masks: from what models hand over to the elements that take no part, and a bias."""

from __future__ import annotations

import torch

from .errors import AccuracyError

__all__ = ["NEVER", "causal", "padded_queries", "split_mask"]

# A logit below is as good as minus infinity: models mask by the least number of float16, bfloat16
# or float32, by -1e9 or -1e4, and no bias is as large.
NEVER = -9e3


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


def causal(queries: int, keys: int, *, offset: int) -> torch.Tensor:
    """Return a boolean mask (queries, keys): query i takes keys up to ``i + offset``."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(offset)


def padded_queries(dead: torch.Tensor | None, shape: torch.Size) -> torch.Tensor | None:
    """Return which queries are padding, broadcastable to (batch, heads, queries), or None.

    Where queries and keys are the same tokens, a key that no query takes is padding, and its own
    query counts in no statistic.
    """
    if dead is None or shape[-1] != shape[-2] or dead.ndim < 2:
        return None
    never = dead.all(dim=-2)
    return never if never.any() else None
