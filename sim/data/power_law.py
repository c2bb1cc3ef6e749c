"""Output layers with a power law of singular values: synthetic, to try SVD-softmax with.

``A = U S V^T`` with ``s_k`` proportional to ``k**-alpha``, at least ``FLOOR`` of the first. ``U``
has independent normal elements, ``V`` is orthogonal. As in a trained model a hidden state points to
a word: it is the row of one, drawn at random, and normal noise of ``NOISE`` times its length, both
times a factor that gives the perplexity that is asked for. Labels are drawn from the exact softmax.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["FLOOR", "NOISE", "power_law", "spectrum"]

FLOOR = 0.05
NOISE = 0.7

# Halvings of the range of the factor.
STEPS = 16


def spectrum(dim: int, alpha: float) -> np.ndarray:
    """Return the singular values, the first being 1."""
    return np.maximum(np.arange(1, dim + 1) ** -float(alpha), FLOOR)


def power_law(random: np.random.Generator, vocabulary: int, dim: int, alpha: float, states: int,
              perplexity: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a layer: matrix (vocabulary, dim), states (states, dim), float32, and labels (states,).

    ``perplexity``, between 1 and ``vocabulary``, is the exponential of the mean entropy.
    """
    left = random.standard_normal((vocabulary, dim), np.float32)
    turn = np.linalg.qr(random.standard_normal((dim, dim)))[0]
    matrix = left @ (spectrum(dim, alpha)[:, None] * turn.T).astype(np.float32)
    rows = matrix[random.integers(vocabulary, size=states)]
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True) / dim)
    hidden = rows + NOISE * length * random.standard_normal((states, dim), np.float32)
    logits = hidden @ matrix.T
    logits -= logits.max(axis=1, keepdims=True)
    # The entropy falls as the factor grows.
    low, high = 0.0, 64.0 / float(-logits.mean())
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _entropy(middle, logits) > math.log(perplexity):
            low = middle
        else:
            high = middle
    # The largest of logits with Gumbel noise is a draw from their softmax.
    noise = random.gumbel(size=logits.shape).astype(np.float32)
    return matrix, hidden * np.float32(high), (high * logits + noise).argmax(axis=1)


def _entropy(factor: float, logits: np.ndarray) -> float:
    """Mean entropy of the softmax of logits times a factor; the largest logit is 0."""
    scaled = logits * np.float32(factor)
    weights = np.exp(scaled)
    total = weights.sum(axis=1, dtype=np.float64)
    scaled *= weights
    return float((np.log(total) - scaled.sum(axis=1, dtype=np.float64) / total).mean())
