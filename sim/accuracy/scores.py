"""Logits of scaled dot-product attention, in float."""

from __future__ import annotations

import torch

__all__ = ["repeat_heads", "scaled_logits"]


def repeat_heads(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Return ``x`` (..., heads, tokens, dim) with each head repeated ``groups`` times."""
    return x if groups == 1 else x.repeat_interleave(groups, dim=-3)


def scaled_logits(query: torch.Tensor, key: torch.Tensor, scaling: float | None = None,
                  softcap: float | None = None) -> torch.Tensor:
    """Return ``softcap(query @ key.T * scaling)``, shape (..., heads, queries, keys).

    Parameters
    ----------
    query, key : float tensors, shape (..., heads, queries, dim) and (..., heads, keys, dim)
        Queries and keys.
    scaling : float
        ``dim**-0.5`` if None.
    softcap : float
        ``softcap * tanh(logits / softcap)``, if not None.
    """
    logits = torch.matmul(query, key.transpose(-2, -1))
    logits = logits * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap
