"""Integer model of the log-partition (:mod:`rtl.svd.log_partition`)."""

from __future__ import annotations

import numpy as np

from rtl.fixed import signed_range

__all__ = ["log_partition"]


def log_partition(numbers: object, logits: np.ndarray) -> np.ndarray:
    """Return the log-partitions (rows,) of logits (rows, V), by :class:`LogNumbers` ``numbers``."""
    powers = np.array(numbers.powers, np.int64)
    logarithms = np.array(numbers.logarithms, np.int64)
    size = len(powers)
    one = 1 << numbers.term_bits - 1
    guard = (one // (1 << 16)).bit_length() - 1
    results = np.empty(len(logits), np.int64)
    # Of every logit there is: less work than of every word of many rows.
    low, high = signed_range(numbers.bits)
    positions = numbers.position(np.arange(low, high + 1))
    every_octave, every_term = positions // size, one + (powers[positions % size] << guard)
    for number, row in enumerate(logits):
        codes = row.astype(np.int64) - low
        octaves = every_octave[codes]
        level = np.maximum.accumulate(octaves)
        terms = every_term[codes] >> np.minimum(level - octaves, 62)
        # Terms between two rises of the reference add up without a shift.
        starts = np.flatnonzero(np.diff(level, prepend=level[0] - 1))
        total = 0
        for start, part in zip(starts, np.add.reduceat(terms, starts), strict=True):
            rise = int(level[start] - level[start - 1]) if start else 0
            total = (total >> rise) + int(part)
        place = total.bit_length() - 1
        below = (total << 10 >> place) & (size - 1)
        results[number] = numbers.result(numbers.log2(int(level[-1]), place,
                                                      int(logarithms[below])))
    return results
