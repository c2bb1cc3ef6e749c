"""Integer model of the 2D LUT (:mod:`rtl.softmax.lut2d`)."""

import functools

import numpy as np

from rtl.config import UnitConfig

from ..rows import for_rows
from .exponent_table import exponent_pass

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None,
        **row: np.ndarray) -> np.ndarray:
    """Compute 2D-LUT softmax; see :func:`sim.model.run`."""
    compute = functools.partial(_softmax, exponent_pass(config),
                                np.array(config.row_numbers, np.int32) * config.column_count,
                                np.array(config.sigma, np.int32).ravel())
    return for_rows(config, x, mask, compute, row)


def _softmax(first, rows, sigma, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    entry, column = first(x, dead)
    y = sigma[rows[entry] + column.astype(np.int32)[:, None, None]]
    if dead is not None:
        y[dead] = 0
    return y
