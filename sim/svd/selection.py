"""The largest logits of each state."""

from __future__ import annotations

import numpy as np

__all__ = ["leaders"]


def leaders(logits: np.ndarray, count: int) -> np.ndarray:
    """Return the indices (states, count) of the largest logits, falling; ties by lowest index."""
    states, words = logits.shape
    limits = np.partition(logits, words - count, axis=1)[:, words - count]
    result = np.empty((states, count), np.intp)
    for state, (row, limit) in enumerate(zip(logits, limits, strict=True)):
        # In order of index, which a stable sort keeps among equals.
        found = np.flatnonzero(row >= limit)
        result[state] = found[np.argsort(-row[found].astype(np.float64), kind="stable")[:count]]
    return result
