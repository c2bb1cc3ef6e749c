"""Integer model of the one-pass datapath (:mod:`rtl.attention.online`)."""

from __future__ import annotations

import dataclasses

import numpy as np

from rtl.fixed import clip, half, signed_range

from .products import products

__all__ = ["RowSums", "outputs", "row_sums", "scaled"]

# A shift that leaves nothing of 64 bits but the sign.
ALL = 63


@dataclasses.dataclass(frozen=True, eq=False)
class RowSums:
    """What is left of rows at their end.

    Attributes
    ----------
    total : int64 array, shape (sets, queries)
        Sums of the terms.
    weighted : int64 array, shape (sets, queries, value_dim)
        Sums of the values, weighted by the terms.
    """

    total: np.ndarray
    weighted: np.ndarray


def outputs(numbers: object, x: np.ndarray, hidden: np.ndarray | None, v: np.ndarray,
            requantise: object | None = None) -> np.ndarray:
    """Return the outputs (sets, queries, value_dim); arguments as of :func:`row_sums`.

    ``requantise``, with a ``multiplier`` and a ``shift`` that may be arrays (sets, 1, 1), takes the
    place of the scale of the numbers.
    """
    scale = numbers.scale if requantise is None else dataclasses.replace(
        numbers.scale, multiplier=requantise.multiplier, shift=requantise.shift)
    return scaled(numbers, row_sums(numbers, x, hidden, v), scale)


def row_sums(numbers: object, x: np.ndarray, hidden: np.ndarray | None,
             v: np.ndarray) -> RowSums:
    """Return the sums of rows of logits.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.
    x : int array, shape (sets, queries, keys)
        Logits.
    hidden : boolean array of that shape, or None
        True: the key takes no part.
    v : int array, shape (sets, keys, value_dim)
        Values.
    """
    rises, terms = _terms(numbers, x, hidden)
    # Between two rises of a row's reference its sums are plain ones. All rows take their spans
    # between rises side by side; one that has no more of them adds nothing and is not shifted.
    span = (rises > 0).cumsum(axis=-1)
    spans = int(span.max(initial=0)) + 1
    shifts = np.zeros((*span.shape[:-1], spans), np.int64)
    row = np.nonzero(rises)
    shifts[(*row[:-1], span[row])] = rises[row]
    span = np.repeat(span, numbers.lanes, axis=-1)[..., :terms.shape[-1]]
    most = int(terms.sum(axis=-1, dtype=np.int64).max(initial=0)) << (numbers.value_bits - 1)
    total = np.zeros(terms.shape[:-1], np.int64)
    weighted = np.zeros((*terms.shape[:-1], v.shape[-1]), np.int64)
    for number in range(spans):
        shift = np.minimum(shifts[..., number], ALL)
        own = terms if spans == 1 else np.where(span == number, terms, 0)
        total = (total >> shift) + own.sum(axis=-1, dtype=np.int64)
        weighted = (weighted >> shift[..., None]) + products(own, v, most)
    return RowSums(total, weighted)


def _terms(numbers, x, hidden):
    """Octaves by which each beat raises the reference of its row, and terms of the keys."""
    grid, lanes = numbers.grid, numbers.lanes
    low, high = signed_range(numbers.bits)
    positions = grid.position(np.arange(low, high + 1, dtype=np.int64))[x.astype(np.int64) - low]
    if hidden is not None:
        positions = np.where(hidden, 0, positions)
    keys = x.shape[-1]
    beats = -(-keys // lanes)
    padded = positions
    if keys % lanes:
        padded = np.zeros((*x.shape[:-1], beats * lanes), np.int64)
        padded[..., :keys] = positions
    largest = padded.reshape(*x.shape[:-1], beats, lanes).max(axis=-1) >> grid.bucket_shift
    largest = np.maximum.accumulate(largest, axis=-1)
    octave = grid.octave(largest)
    distance = np.repeat(grid.reference(largest), lanes, axis=-1)[..., :keys] - positions
    words = np.array([*numbers.terms, 0], np.int64) << numbers.guard_bits
    terms = words[np.minimum(distance, len(words) - 1)]
    if hidden is not None:
        terms[hidden] = 0
    # The reference starts at the first beat's octave.
    return np.diff(octave, axis=-1, prepend=octave[..., :1]), terms


def scaled(numbers: object, sums: RowSums, scale: object) -> np.ndarray:
    """Return the outputs (sets, queries, value_dim) of sums: ``saturate(round(A T / S))``."""
    bits, total = scale.MANTISSA_BITS, sums.total[..., None]
    # A sum has less bits than a float holds exactly.
    place = np.maximum(np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1,
                       numbers.places[0])
    mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
    factor = scale.factor(np.array(scale.reciprocals, np.int64)[mantissa])
    # A product has less than 61 bits.
    shift = np.minimum(scale.exponent(place), 62)
    result = clip((sums.weighted * factor + half(shift)) >> shift, *signed_range(scale.bits))
    return np.where(total > 0, result, 0)
