"""Bases of an output layer in which the first columns carry most of the logits.

``logits = A h + b``, with ``A`` of shape (vocabulary, dim), becomes ``B h' + b'``:

* ``published`` (Shim et al., NIPS 2017): ``A = U S V^T``, ``B = U S``, ``h' = V^T h``, ``b' = b``.
* ``whitened``: from hidden states with the mean ``m`` and the covariance ``C = R R^T``,
  ``A R = U S V^T``, ``B = U S``, ``h' = V^T R^-1 (h - m)``, ``b' = b + A m``.

Both are exact with all columns. With the first ``W`` only, no other basis has a smaller squared
error, summed over the words: the published one for states whose elements are independent and of one
variance, the whitened one for states like those of the calibration.

The covariance is shrunk to a multiple of the identity as far as the number of states asks for it
(Ledoit & Wolf 2004): directions that the calibration lacks stay within reason.

``V`` and ``S`` are the eigenvectors and the roots of the eigenvalues of ``(A R)^T A R``, which has
``dim`` rows; ``B = A R V``. ``B h' = A (h - m)`` only takes an orthogonal ``V``, and it is
orthogonal to float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import SvdError
from .head import Head

__all__ = ["BASES", "Factors", "factorise"]

BASES = ("whitened", "published")

# Rows of the matrix that are worked on at a time, in float64.
ROWS = 1 << 12


@dataclass(frozen=True, eq=False)
class Factors:
    """Layer in a basis: ``logits = columns @ (transform @ hidden - offset) + bias``.

    Attributes
    ----------
    basis : str
        One of :data:`BASES`.
    columns : float32 array, shape (vocabulary, dim)
        ``B``; the length of its columns falls.
    transform : float64 array, shape (dim, dim)
        ``V^T``, or ``V^T R^-1``.
    offset : float64 array, shape (dim,)
        ``transform @ m``.
    bias : float64 array, shape (vocabulary,)
        ``b'``.
    values : float64 array, shape (dim,)
        Singular values, falling: lengths of the columns.
    """

    basis: str
    columns: np.ndarray
    transform: np.ndarray
    offset: np.ndarray
    bias: np.ndarray
    values: np.ndarray

    def rotate(self, hidden: np.ndarray) -> np.ndarray:
        """Return ``h'`` (states, dim), float64, of hidden states."""
        return hidden.astype(np.float64) @ self.transform.T - self.offset

    def preview(self, rotated: np.ndarray, window: int) -> np.ndarray:
        """Return the logits (states, vocabulary), float32, of the first ``window`` columns."""
        return (rotated[:, :window].astype(np.float32) @ self.columns[:, :window].T
                + self.bias.astype(np.float32))

    def energy(self, window: int) -> float:
        """Return the part of the sum of squares that the first ``window`` columns have."""
        squares = self.values ** 2
        return float(squares[:window].sum() / squares.sum())


def factorise(head: Head, basis: str, hidden: np.ndarray | None = None) -> Factors:
    """Return a layer in a basis; ``hidden`` (states, dim) is what ``whitened`` is calibrated on.

    Raises
    ------
    SvdError
        If there is no such basis, or it takes states and there are fewer than two, or they are all
        the same.
    """
    if basis not in BASES:
        raise SvdError(f"Basis must be one of {', '.join(BASES)}, not {basis!r}")
    mean, root, inverse = np.zeros(head.dim), np.eye(head.dim), np.eye(head.dim)
    if basis == "whitened":
        if hidden is None or len(hidden) < 2:
            raise SvdError("Basis 'whitened' must be calibrated on two hidden states at least")
        mean, covariance = moments(hidden)
        squares, vectors = np.linalg.eigh(covariance)
        root = (vectors * np.sqrt(squares)) @ vectors.T
        inverse = (vectors / np.sqrt(squares)) @ vectors.T
    gram = np.zeros((head.dim, head.dim))
    for rows in _blocks(head):
        gram += rows.T @ rows
    squares, vectors = np.linalg.eigh(root @ gram @ root)
    # The eigenvalues rise. A sign of each column is free; the same data must give the same file.
    squares, vectors = squares[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(head.dim)])
    turn = root @ vectors
    columns = np.concatenate([(rows @ turn).astype(np.float32) for rows in _blocks(head)])
    shift = np.concatenate([rows @ mean for rows in _blocks(head)])
    transform = vectors.T @ inverse
    return Factors(basis, columns, transform, transform @ mean, head.bias + shift,
                   np.sqrt(np.maximum(squares, 0.0)))


def moments(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the shrunk covariance of hidden states (states, dim), in float64."""
    hidden = hidden.astype(np.float64)
    mean = hidden.mean(axis=0)
    centred = hidden - mean
    covariance = centred.T @ centred / len(hidden)
    scale = np.trace(covariance) / len(covariance)
    if not scale > 0:
        raise SvdError("Hidden states of the calibration must not be all the same")
    target = scale * np.eye(len(covariance))
    # How far the covariance is from the target, and the part of that which is chance.
    distance = np.square(covariance - target).sum()
    chance = (np.square(np.square(centred).sum(axis=1)).sum() / len(hidden)
              - np.square(covariance).sum()) / len(hidden)
    part = min(chance / distance, 1.0) if distance > 0 else 1.0
    return mean, part * target + (1.0 - part) * covariance


def _blocks(head: Head):
    for start in range(0, head.vocabulary, ROWS):
        yield head.matrix[start:start + ROWS].astype(np.float64)
