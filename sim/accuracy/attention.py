"""Scaled dot-product attention whose softmax is a unit."""

from __future__ import annotations

import torch
from torch.nn import functional

from .engine_place import EnginePlace
from .mask import causal
from .place import SoftmaxPlace
from .scores import repeat_heads, scaled_logits

__all__ = ["attend"]


def attend(place: SoftmaxPlace | EnginePlace, query: torch.Tensor, key: torch.Tensor,
           value: torch.Tensor, *,
           mask: torch.Tensor | None = None, is_causal: bool = False, scaling: float | None = None,
           softcap: float | None = None, dropout: float = 0.0,
           positions: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return ``(output, weights)`` of ``softmax(softcap(query @ key.T * scaling) + mask) @ value``.

    Parameters
    ----------
    place : SoftmaxPlace or EnginePlace
        The softmax, or the whole attention.
    query : float tensor, shape (batch, heads, queries, dim)
        Queries.
    key, value : float tensors, shape (batch, key heads, keys, dim)
        Each key head serves ``heads // key heads`` consecutive heads.
    mask : None, or boolean or float tensor, broadcastable to (batch, heads, queries, keys)
        Boolean: true where a key takes part. Float: added; less than -9000 takes no part.
    is_causal : bool
        A query takes the keys up to its own; the last query and the last key are of one token.
    scaling : float
        ``dim**-0.5`` if None.
    softcap : float
        ``softcap * tanh(logits / softcap)``, before the mask.
    dropout : float
        Share of the weights that is dropped.
    positions : integer tensor, shape (batch or 1, queries), or None
        Positions of the queries in their texts; of an engine with resident sets they are those in
        the sets. A cache may hold the last keys only, which does not show otherwise.

    Returns
    -------
    output : tensor, shape (batch, heads, queries, dim)
    weights : tensor, shape (batch, heads, queries, keys); None of an engine
    """
    if isinstance(place, EnginePlace):
        return place.attend(query, key, value, mask=mask, is_causal=is_causal, scaling=scaling,
                            softcap=softcap, dropout=dropout, positions=positions)
    groups = query.shape[-3] // key.shape[-3]
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    logits = scaled_logits(query, key, scaling, softcap)
    if is_causal:
        queries, keys = logits.shape[-2:]
        triangle = causal(queries, keys, offset=keys - queries)
        if mask is None or mask.dtype == torch.bool:
            mask = triangle if mask is None else mask & triangle
        else:
            mask = mask.masked_fill(~triangle, -torch.inf)
    weights = place.weights(logits, mask).to(value.dtype)
    dropped = functional.dropout(weights, dropout) if dropout else weights
    output = torch.matmul(dropped, value)
    if place.state.observer is not None:
        place.state.observer.attention(place, weights.detach(), value.detach(), output.detach())
    return output, weights
