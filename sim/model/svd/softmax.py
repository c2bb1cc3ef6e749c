"""Integer model of the SVD-softmax engine (:mod:`rtl.svd`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtl.config import UnitConfig

from .. import run as run_unit
from .log_partition import log_partition

__all__ = ["SvdOutput", "hidden", "run", "selection"]

# Logits that are worked on at a time.
CHUNK = 1 << 21

# Share of the words from which on the full views of all words take less time than a gather.
DENSE = 8

# Largest integer that a sum of a float64 product must stay below.
EXACT = 1 << 53


class SvdOutput(NamedTuple):
    """Outputs of hidden vectors, and what they come from.

    Attributes
    ----------
    index : int32 array (..., N)
        Words of the full view, in rising order.
    probability : int32 array (..., N) or None
        Their probabilities, each worth ``config.output_scale``, unless they were not wanted.
    logit : int32 array (..., N)
        Their logits, each worth ``config.logit_scale``.
    log_partition : int64 array (...,)
        Logarithm of the sum of all exponentials, each step worth ``config.log_scale``.
    mixed : int32 array (..., V) or None
        Logits of all words, if they were asked for.
    probabilities : int32 array (..., V) or None
        Probabilities of all words, if they were asked for.
    """

    index: np.ndarray
    probability: np.ndarray | None
    logit: np.ndarray
    log_partition: np.ndarray
    mixed: np.ndarray | None = None
    probabilities: np.ndarray | None = None


def run(config: UnitConfig, x: np.ndarray, image: object, *, count: int | None = None,
        vocabulary: int | None = None, whole: bool = False,
        softmax: bool = True) -> SvdOutput:
    """Compute the outputs of hidden vectors.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.
    x : array of integers, shape (..., dim)
        Hidden vectors of ``config.hidden_bits`` bits: before the transform, or behind it with
        ``transform="supplied"``.
    image : object
        Image of the matrix, with the attributes of :class:`sim.data.svd_image.SvdImage`.
    count : int
        Words N of the full view; by default what the image says.
    vocabulary : int
        Number of the image's words, from the first on, that take part; by default all.
    whole : bool
        Return ``mixed`` and ``probabilities`` too.
    softmax : bool
        Compute the probabilities, which takes most of the time; without, they are None.

    Raises
    ------
    TypeError, ValueError
        If ``x`` is not of integers, out of the range of ``config.hidden_bits``, or of a shape that
        does not fit; if the image does not fit the configuration; or a number is out of its range.
    """
    image.check(config)
    vocabulary = _within("vocabulary", vocabulary, image.vocabulary, image.vocabulary)
    count = _within("count", count, min(image.count, vocabulary),
                    min(vocabulary, config.max_count))
    h = hidden(config, x, image)
    flat = h.reshape(-1, config.dim).astype(np.float64)
    columns = image.columns
    assert max(map(abs, (*config.preview_range, *config.tail_range))) < EXACT
    preview = image.preview[:vocabulary].astype(np.float64).T
    tail = image.tail[:vocabulary].astype(np.float64)
    step = max(1, CHUNK // vocabulary)
    parts = [_rows(config, flat[start:start + step], image, preview, tail, count, columns, whole,
                   softmax) for start in range(0, len(flat), step)]
    joined = [None if column[0] is None else np.concatenate(column)
              for column in zip(*parts, strict=True)] if parts else \
        _rows(config, flat, image, preview, tail, count, columns, whole, softmax)
    return SvdOutput(*(None if each is None else each.reshape((*h.shape[:-1], *each.shape[1:]))
                       for each in joined))


def hidden(config: UnitConfig, x: np.ndarray, image: object) -> np.ndarray:
    """Return ``h``, int64 of the shape of ``x``: transformed, or what was supplied."""
    x = np.asarray(x)
    low, high = config.hidden_range
    if x.dtype.kind not in "iu":
        raise TypeError(f"Hidden vectors must be integers, not {x.dtype}")
    if x.ndim == 0 or x.shape[-1] != config.dim:
        raise ValueError(f"Hidden vectors must have the shape (..., {config.dim}), not {x.shape}")
    if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
        raise ValueError(f"Hidden vectors must be in {low}..{high}, "
                         f"not {int(x.min())}..{int(x.max())}")
    if config.transform == "supplied":
        return x.astype(np.int64)
    assert max(map(abs, config.basis_range)) < EXACT
    total = (x.astype(np.float64) @ image.basis.astype(np.float64).T).astype(np.int64)
    return config.hidden(total + image.offset, image.basis_shift.astype(np.int64))


def selection(logits: np.ndarray, count: int) -> np.ndarray:
    """Return flags (rows, V) of the ``count`` largest logits, of equal ones the first."""
    size = logits.shape[-1]
    bound = np.partition(logits, size - count, axis=-1)[..., size - count, None]
    above, equal = logits > bound, logits == bound
    places = count - above.sum(axis=-1, keepdims=True)
    return above | equal & (np.cumsum(equal, axis=-1) <= places)


def _rows(config, h, image, preview, tail, count, columns, whole, softmax):
    """Outputs of some hidden vectors (rows, dim)."""
    z = (h[:, :columns] @ preview).astype(np.int64) + image.bias[:preview.shape[1]]
    mixed = config.preview_logit(z, image.shift).astype(np.int32)
    chosen = selection(mixed, count)
    index = np.nonzero(chosen)[1].reshape(len(h), count)
    behind = h if config.residual else h[:, columns:]
    if count * DENSE >= preview.shape[1]:
        rest = np.take_along_axis(behind @ tail.T, index, 1)
    else:
        rest = np.stack([tail[row] @ vector for row, vector in zip(index, behind, strict=True)]) \
            if len(h) else np.zeros(index.shape)
    f = (np.take_along_axis(z, index, 1) << config.tail_shift) + rest.astype(np.int64)
    np.put_along_axis(mixed, index, config.full_logit(f, image.shift).astype(np.int32), 1)
    probabilities = run_unit(config.softmax_config, mixed) if softmax else None
    return (index.astype(np.int32),
            np.take_along_axis(probabilities, index, 1) if softmax else None,
            np.take_along_axis(mixed, index, 1), log_partition(config.log_numbers, mixed),
            mixed if whole else None, probabilities if whole else None)


def _within(name, value, default, most):
    value = default if value is None else value
    if not 1 <= value <= most:
        raise ValueError(f"Number {name} must be in 1..{most}, not {value}")
    return int(value)
