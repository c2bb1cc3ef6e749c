"""Integer model of the split softmax (:mod:`rtl.softmax.split`)."""

import functools

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import round_shift

from ..rows import for_rows
from .row_sum import normalised
from .two_pass import distances

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None,
        **row: np.ndarray) -> np.ndarray:
    """Compute split softmax; see :func:`sim.model.run`."""
    terms = np.zeros(1 << config.bits, np.int64)
    terms[:len(config.exponentials)] = config.exponentials
    return for_rows(config, x, mask, functools.partial(_softmax, config, terms), row)


def _softmax(config, terms, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    e = terms[distances(x, dead, config.bits)]
    if dead is not None:
        e[dead] = 0
    # A fully masked row has no sum, and needs none.
    total = np.maximum(e.sum((1, 2)), 1 << config.fraction_bits)
    w = config.out_bits
    if config.order == "weight":
        y = round_shift((e << (w + 1)) // total[:, None, None], 1)
    else:
        place, mantissa = normalised(total, config.fraction_bits, config.reciprocal_bits)
        factor = config.reciprocal_of(mantissa) << (config.sum_bits - 1 - place)
        y = round_shift(e * factor[:, None, None], config.output_shift)
    return np.minimum(y, (1 << w) - 1)
