"""Paired bootstrap: how sure a difference of two scores on the same examples is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["difference_error", "ranks", "spearman"]


def difference_error(score: Callable[[np.ndarray, np.ndarray], float], first: np.ndarray,
                     second: np.ndarray, labels: np.ndarray, *, samples: int = 500,
                     seed: int = 0) -> float:
    """Return the standard error of ``score(second, labels) - score(first, labels)``.

    Both are scored on the same examples, drawn with replacement, ``samples`` times; the standard
    deviation of the differences is the error.

    Parameters
    ----------
    score : callable
        Score of predictions and labels, arrays (examples,).
    first, second, labels : arrays, shape (examples,)
        Predictions of both, and labels.
    """
    random = np.random.default_rng(seed)
    differences = []
    for _ in range(samples):
        drawn = random.integers(0, len(labels), len(labels))
        differences.append(score(second[drawn], labels[drawn])
                           - score(first[drawn], labels[drawn]))
    return float(np.std(differences, ddof=1))


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 0 on; equal ones share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts - 1) / 2)[place]


def spearman(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return Spearman's rank correlation in points, -100..100."""
    return float(100.0 * np.corrcoef(ranks(predictions), ranks(labels))[0, 1])
