"""Arithmetic of SVD-softmax, in multiply-accumulates and as a part of the exact layer's.

============== ========================== ========================================
part           multiply-accumulates       of the exact layer's
============== ========================== ========================================
transform      ``dim * dim``              ``dim / vocabulary``
preview        ``vocabulary * window``    ``window / dim``
full view      ``count * (dim - window)`` ``count / vocabulary * (1 - window / dim)``
with residuals ``count * dim``            ``count / vocabulary``
============== ========================== ========================================

The full view keeps the sums of the preview; with residuals it adds what the preview's weights lack
(:mod:`sim.svd.quantise`).
"""

from __future__ import annotations

import math

__all__ = ["count_within", "guideline", "share"]


def share(vocabulary: int, dim: int, window: int, count: int, residual: bool = False) -> float:
    """Return the multiply-accumulates of a state, as a part of the exact layer's."""
    columns = dim if residual else dim - window
    return (dim * dim + vocabulary * window + count * columns) / (vocabulary * dim)


def count_within(limit: float, vocabulary: int, dim: int, window: int,
                 residual: bool = False) -> int:
    """Return the largest count with which the share is at most ``limit``; below 1, none is."""
    columns = dim if residual else dim - window
    left = limit * vocabulary * dim - dim * dim - vocabulary * window
    if not columns:
        return vocabulary if left >= 0 else 0
    return min(math.floor(left / columns), vocabulary)


def guideline(vocabulary: int, dim: int) -> tuple[int, int]:
    """Return the published guideline: an eighth of the columns, a sixteenth of the words."""
    return -(-dim // 8), -(-vocabulary // 16)
