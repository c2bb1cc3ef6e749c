"""Output layers with a power law of singular values: synthetic, to try SVD-softmax with.

``A = U S V^T`` with ``s_k`` proportional to ``k**-alpha``, at least ``FLOOR`` of the first. ``U``
has independent normal elements, ``V`` is orthogonal. Hidden states have independent normal
elements, of a standard deviation that follows from the perplexity; labels are drawn from the exact
softmax.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["FLOOR", "power_law", "spectrum"]

FLOOR = 0.05


def spectrum(dim: int, alpha: float) -> np.ndarray:
    """Return the singular values, the first being 1."""
    return np.maximum(np.arange(1, dim + 1) ** -float(alpha), FLOOR)


def power_law(random: np.random.Generator, vocabulary: int, dim: int, alpha: float, states: int,
              perplexity: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a layer: matrix (vocabulary, dim), states (states, dim), float32, and labels (states,).

    The geometric mean of the perplexities of the states' softmaxes is ``perplexity``.
    """
    left = random.standard_normal((vocabulary, dim), np.float32)
    turn = np.linalg.qr(random.standard_normal((dim, dim)))[0]
    matrix = left @ (spectrum(dim, alpha)[:, None] * turn.T).astype(np.float32)
    hidden = random.standard_normal((states, dim), np.float32)
    logits = hidden @ matrix.T
    # Entropy falls as the logits grow.
    low, high = 1e-3, 1e3
    for _ in range(24):
        middle = math.sqrt(low * high)
        if _entropy(middle * logits).mean() > math.log(perplexity):
            low = middle
        else:
            high = middle
    hidden *= np.float32(low)
    # The largest of logits with Gumbel noise is a draw from their softmax.
    noise = random.gumbel(size=logits.shape).astype(np.float32)
    return matrix, hidden, (low * logits + noise).argmax(axis=1)


def _entropy(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    total = weights.sum(axis=1, dtype=np.float64)
    return np.log(total) - (weights * shifted).sum(axis=1, dtype=np.float64) / total
