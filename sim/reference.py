"""Float64 references: what the units approximate."""

import numpy as np


__all__ = ["attention", "softmax"]


def softmax(logits, mask=None):
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


def attention(q, k, v, mask=None, causal=False):
    """Attention of queries (..., queries, dim) to keys and values (..., keys, dim).

    ``softmax(q k^T / sqrt(dim)) v``. Masked keys, of shape (..., keys), take no part; with
    ``causal`` neither do the keys behind a query's own place. Without a key the output is 0.
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    logits = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    hidden = np.zeros(logits.shape, bool)
    if mask is not None:
        hidden |= np.asarray(mask)[..., None, :]
    if causal:
        hidden |= np.arange(logits.shape[-1]) > np.arange(logits.shape[-2])[:, None]
    return softmax(logits, hidden) @ v
