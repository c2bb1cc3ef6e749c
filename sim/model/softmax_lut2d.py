"""Integer model of the 2D LUT (:mod:`rtl.softmax.lut2d`)."""

import functools

import numpy as np

from .rows import for_rows
from .two_pass import distances, floating_index


__all__ = ["run"]


def run(config, x, mask=None):
    """Compute 2D-LUT softmax; see :func:`sim.model.run`."""
    index = config.index(np.arange(1 << config.bits, dtype=np.int64))
    terms = np.array(config.exponentials, np.int32)[index]
    rows = np.array(config.row_numbers, np.int32)[index] * config.column_count
    return for_rows(config, x, mask, functools.partial(
        _softmax, config, terms, rows, np.array(config.sigma, np.int32).ravel()))


def _softmax(config, terms, rows, sigma, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    distance = distances(x, dead, config.bits)
    e = terms[distance]
    if dead is not None:
        e[dead] = 0
    total = e.sum((1, 2), dtype=np.int64)
    if config.sum_index == "linear":
        least = 1 << config.sum_fraction_bits
        column = config.linear_index(total).clip(least, config.column_count) - 1
    else:
        column = floating_index(config, total)
    y = sigma[rows[distance] + column.astype(np.int32)[:, None, None]]
    if dead is not None:
        y[dead] = 0
    return y
