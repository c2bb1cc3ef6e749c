"""Basis of queries and keys in which the first dimensions carry most of the dot product.

``python -m sim.accuracy.prefix_basis`` calibrates one for each attention head, for the ``prefix``
predictor of the attention engine. With ``q' = P q`` and ``k' = R k``, where ``P^T R = 1``, all dot
products are what they were. ``P`` and ``R`` are folded into the projections that make Q and K,
once, and cost nothing afterwards.

With the second moments ``A`` of the queries and ``B`` of the keys about their mean (which adds the
same to all scores of a query, and matters to no softmax), and the singular value decomposition
``A^(1/2) B^(1/2) = U S V^T``,

    ``P = S^(1/2) U^T A^(-1/2)``,  ``R = S^(1/2) V^T B^(-1/2)``.

For queries and keys that do not depend on each other, dimension i of the new basis adds a score of
variance ``s_i^2``, and no other basis has more of it in its first dimensions, however many.

By default the queries and keys are those of the pretrained Transformer of
:mod:`sim.accuracy.capture`, at the heads that it captures. The sample
``sim/data/minilm_basis.npz`` comes from the train part of the STS benchmark, the sample of heads
from its dev part::

    python -m sim.accuracy.prefix_basis --sentences DATA/stsb/sts-train.tsv \
        --out sim/data/minilm_basis.npz

The file is a compressed ``.npz`` with ``p`` (float16, heads x dim x dim) and ``values`` (float32,
heads x dim), the singular values.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rtl.progress import Progress

from ..data.captured import load_arrays
from ..errors import RequestError
from . import capture
from .errors import AccuracyError
from .files import positive, replacing
from .texts import find_sentences

__all__ = ["Basis", "calibrate", "load", "main", "save"]

# What is added to the second moments, as a part of their mean: directions that the calibration data
# lacks stay within reason.
RIDGE = 1e-4


@dataclass(frozen=True, eq=False)
class Basis:
    """Basis of the queries and keys of a head.

    Attributes
    ----------
    p : float array, shape (dim, dim)
        Matrix of the queries.
    values : float array, shape (dim,)
        Singular values, falling: the standard deviation of what each dimension adds to a score.
    """

    p: np.ndarray
    values: np.ndarray

    @property
    def r(self) -> np.ndarray:
        """Matrix of the keys: the inverse of the transpose of ``p``."""
        return np.linalg.inv(self.p).T

    def queries(self, q: np.ndarray) -> np.ndarray:
        """Return queries (..., dim) in this basis."""
        return q @ self.p.T

    def keys(self, k: np.ndarray) -> np.ndarray:
        """Return keys (..., dim) in this basis."""
        return k @ self.r.T

    def share(self, dims: int) -> float:
        """Return the part of the variance of the scores that the first ``dims`` dimensions have."""
        squares = self.values ** 2
        return float(squares[:dims].sum() / squares.sum())


def calibrate(q: np.ndarray, k: np.ndarray) -> Basis:
    """Return the basis for queries and keys like these, each of shape (tokens, dim).

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or the queries or the keys are all the same.
    """
    q, k = np.asarray(q, np.float64), np.asarray(k, np.float64)
    if q.ndim != 2 or k.ndim != 2 or q.shape[1:] != k.shape[1:] or 0 in (*q.shape, *k.shape):
        raise ValueError("Queries and keys must be of the shapes (tokens, dim), with one dim, not "
                         f"{q.shape} and {k.shape}")
    roots = [_root(x, name) for x, name in ((q, "Queries"), (k - k.mean(axis=0), "Keys"))]
    left, values, right = np.linalg.svd(roots[0] @ roots[1])
    # A sign of each dimension is free; the same data must give the same file.
    signs = np.sign(left[np.abs(left).argmax(axis=0), np.arange(len(left))])
    return Basis(np.linalg.solve(roots[0], left * signs * np.sqrt(values)).T, values)


def _root(x: np.ndarray, name: str) -> np.ndarray:
    """Return the symmetric root of the second moments of ``x``."""
    moments = x.T @ x / len(x)
    mean = np.trace(moments) / len(moments)
    if not 0 < mean < np.inf:
        raise ValueError(f"{name} must not be all the same, and finite")
    values, vectors = np.linalg.eigh(moments + RIDGE * mean * np.eye(len(moments)))
    return (vectors * np.sqrt(values)) @ vectors.T


def save(file: BinaryIO, bases: Sequence[Basis]) -> None:
    """Write ``bases`` to the open binary ``file``; equal ones, equal bytes."""
    p = np.array([basis.p for basis in bases])
    if not np.abs(p).max() <= np.finfo(np.float16).max:
        raise ValueError("Matrices must be within the range of float16")
    np.savez_compressed(file, p=p.astype(np.float16),
                        values=np.array([basis.values for basis in bases], np.float32))


def load(path: str | os.PathLike[str]) -> list[Basis]:
    """Read the bases of a file, as float64.

    Raises
    ------
    ValueError
        If the file is not of bases.
    """
    p, values = load_arrays(path, ("p", "values"), "a file of bases").values()
    if (p.dtype != np.float16 or values.dtype != np.float32 or p.ndim != 3
            or p.shape != (*values.shape, values.shape[-1])):
        raise ValueError(f"{os.fspath(path)}: p or values has the wrong type or shape")
    return [Basis(*pair) for pair in zip(p.astype(float), values.astype(float), strict=True)]


# Command

def _of_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and keys (heads, tokens, dim) of a file."""
    try:
        q, k = (np.asarray(array, np.float64)
                for array in load_arrays(path, "qk", "an .npz of the arrays q and k").values())
    except OSError as error:
        raise AccuracyError(f"Cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise AccuracyError(f"{path} must be an .npz of the arrays q and k") from None
    if q.ndim != 3 or k.ndim != 3 or len(q) != len(k):
        raise AccuracyError(f"{path}: q and k must be of the shapes (heads, tokens, dim), "
                                   f"not {q.shape} and {k.shape}")
    return q, k


def _of_model(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and keys (heads, tokens, dim) of the pretrained Transformer."""
    parts = []
    layers, heads = zip(*capture.HEADS, strict=True)
    with Progress("reading", options.texts, "texts") as progress:
        for q, k, _ in capture.observed_heads(
                capture.open_reader(), find_sentences(options.sentences), length=options.length,
                texts=options.texts):
            parts.append((q[layers, heads], k[layers, heads]))
            progress.advance()
    q, k = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return q, k


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.accuracy.prefix_basis",
        description="Basis of queries and keys in which few dimensions carry most of their dot "
                    "products, for each head.")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE",
                        help=".npz of the calibration data, real q and k, each of the shape (heads,"
                             " tokens, dim); else some heads of a pretrained Transformer")
    parser.add_argument("--sentences", type=Path, metavar="TEXT",
                        help="what the model reads; as of sim.accuracy.capture")
    parser.add_argument("--texts", type=positive, default=32,
                        help="texts that the model reads (default: %(default)s)")
    parser.add_argument("--length", type=positive, default=128,
                        help="tokens of a text (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/prefix_basis.npz"),
                        metavar="FILE", help="file to write (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        with replacing(options.out) as file:
            q, k = _of_model(options) if options.file is None else _of_file(options.file)
            bases = [calibrate(*pair) for pair in zip(q, k, strict=True)]
            save(file, bases)
    except (RequestError, OSError, ValueError) as error:
        print(f"sim.accuracy.prefix_basis: error: {error}", file=sys.stderr)
        return 1
    dim = len(bases[0].values)
    sizes = sorted({max(1, dim * part // 16) for part in (1, 2, 4, 8)})
    print("share of the scores' variance in the first dimensions")
    print(f"{'head':>6}" + "".join(f"{size:>8}" for size in sizes))
    for number, basis in enumerate(bases):
        print(f"{number:>6}" + "".join(f"{basis.share(size):>8.0%}" for size in sizes))
    print(f"{len(bases)} heads of {dim}, {q.shape[1]} queries and {k.shape[1]} keys each: "
          f"{options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
