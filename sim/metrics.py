"""How far a softmax is from its reference, in the figures that the reports and tests use."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["AttentionErrors", "SoftmaxErrors", "softmax_errors", "attention_errors"]


@dataclasses.dataclass(frozen=True)
class SoftmaxErrors:
    """Errors of many rows ``q`` against references ``p``.

    Attributes
    ----------
    largest, mean : float
        Largest and mean absolute error of an element.
    l1 : float
        Sum of the absolute errors of a row, averaged over the rows.
    kl : float
        Kullback-Leibler divergence ``KL(q / sum(q) || p)`` in nats, averaged over the rows.
    top1 : float
        Share of the rows in which the first maximum of ``q`` is the first maximum of ``p``.
    top1_tied : float
        Share of the rows in which the maximum of ``p`` is among the maxima of ``q``.
    sum_low, sum_mean, sum_high : float
        Least, mean and largest sum of a row of ``q``.
    """

    largest: float
    mean: float
    l1: float
    kl: float
    top1: float
    top1_tied: float
    sum_low: float
    sum_mean: float
    sum_high: float


def softmax_errors(p: np.ndarray, q: np.ndarray) -> SoftmaxErrors:
    """Compare outputs ``q`` with references ``p``, both real, of shape (rows, length)."""
    error = np.abs(q - p)
    sums = q.sum(axis=-1)
    normal = q / np.where(sums > 0, sums, 1.0)[:, None]
    # Where q is 0 its part of the divergence is 0, whatever p is.
    ratio = np.where(q > 0, normal / np.where(p > 0, p, 1.0), 1.0)
    best = p.argmax(axis=-1)
    rows = np.arange(len(p))
    return SoftmaxErrors(
        largest=error.max(), mean=error.mean(), l1=error.sum(axis=-1).mean(),
        kl=(normal * np.log(ratio)).sum(axis=-1).mean(),
        top1=(q.argmax(axis=-1) == best).mean(),
        top1_tied=(q[rows, best] == q.max(axis=-1)).mean(),
        sum_low=sums.min(), sum_mean=sums.mean(), sum_high=sums.max())


@dataclasses.dataclass(frozen=True)
class AttentionErrors:
    """Errors of output vectors ``y`` of attention against references ``x``.

    Attributes
    ----------
    relative : float
        Length of the error over the length of the reference, averaged over the queries.
    cosine : float
        Cosine of the angle between the two, averaged over the queries.
    largest : float
        Largest absolute error of an element.
    """

    relative: float
    cosine: float
    largest: float


def attention_errors(x: np.ndarray, y: np.ndarray) -> AttentionErrors:
    """Compare output vectors ``y`` with references ``x``, both real, of shape (..., dim).

    A query whose reference is 0 counts in ``largest`` only.
    """
    length, other = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
    error = np.linalg.norm(y - x, axis=-1)
    some = length > 0
    cosine = (x * y).sum(axis=-1) / np.where(length * other > 0, length * other, 1.0)
    return AttentionErrors(relative=(error[some] / length[some]).mean(),
                           cosine=cosine[some].mean(), largest=np.abs(y - x).max())
