"""Float64 references: what the units approximate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["attention", "greedy_attention", "softmax"]


def softmax(logits: ArrayLike, mask: np.ndarray | None = None) -> np.ndarray:
    """Softmax over the last axis; masked elements (True) take no part and get 0.

    A fully masked row gives zeros.
    """
    logits = np.asarray(logits, np.float64)
    if mask is not None:
        logits = np.where(mask, -np.inf, logits)
    top = logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(logits - np.where(np.isfinite(top), top, 0.0))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total > 0, total, 1.0)


def attention(q: ArrayLike, k: ArrayLike, v: ArrayLike, mask: np.ndarray | None = None,
              causal: bool = False, bias: ArrayLike | None = None) -> np.ndarray:
    """Attention of queries (..., queries, dim) to keys and values (..., keys, dim).

    ``softmax(q k^T / sqrt(dim) + bias) v``. Masked keys, of shape (..., keys), take no part; with
    ``causal`` neither do the keys behind a query's own place. ``bias``, 0 by default, has the shape
    (..., queries, keys); a key takes no part where it is minus infinity. Without a key the output
    is 0.
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    logits = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    hidden = np.zeros(logits.shape, bool)
    if bias is not None:
        bias = np.asarray(bias, np.float64)
        hidden |= np.isneginf(bias)
        logits = logits + np.where(np.isneginf(bias), 0.0, bias)
    if mask is not None:
        hidden |= np.asarray(mask)[..., None, :]
    if causal:
        hidden |= np.arange(logits.shape[-1]) > np.arange(logits.shape[-2])[:, None]
    return softmax(logits, hidden) @ v


def greedy_attention(q: ArrayLike, k: ArrayLike, v: ArrayLike, iterations: int, percent: float,
                     min_skip: bool = True) -> np.ndarray:
    """Attention of queries (queries, dim) to keys and values (keys, dim) with A3's approximation.

    In real numbers: ``iterations`` times the largest of a query's products that are left, if it is
    positive, and unless ``min_skip`` and the sum of all that was taken is negative, the smallest,
    if that is negative. Keys with a positive sum, or all if there is none, are candidates; those
    whose weight is below ``percent`` of the largest go.
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    logits = q @ k.T / np.sqrt(q.shape[-1])
    hidden = np.ones(logits.shape, bool)
    for place, query in enumerate(q):
        products = (k * query).ravel()
        order = np.argsort(products, kind="stable")
        rows, values = order // q.shape[-1], products[order]
        sums, total = np.zeros(len(k)), 0.0
        smallest, count = 0, min(iterations, len(order))
        for largest in range(iterations):
            if largest < count and values[-1 - largest] > 0:
                sums[rows[-1 - largest]] += values[-1 - largest]
                total += values[-1 - largest]
            if (min_skip and total < 0) or smallest == len(order) or values[smallest] >= 0:
                continue
            sums[rows[smallest]] += values[smallest]
            total += values[smallest]
            smallest += 1
        chosen = sums > 0 if (sums > 0).any() else sums == sums
        limit = logits[place][chosen].max() - np.log(100.0 / percent)
        hidden[place] = ~(chosen & (logits[place] >= limit))
    return softmax(logits, hidden) @ v
