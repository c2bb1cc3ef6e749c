"""Integer model of the split softmax (:mod:`rtl.softmax.split`)."""

import functools

import numpy as np

from ..rows import for_rows
from .two_pass import distances

__all__ = ["run"]


def run(config, x, mask=None):
    """Compute split softmax; see :func:`sim.model.run`."""
    terms = np.zeros(1 << config.bits, np.int64)
    terms[:len(config.exponentials)] = config.exponentials
    return for_rows(config, x, mask, functools.partial(_softmax, config, terms))


def _softmax(config, terms, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    e = terms[distances(x, dead, config.bits)]
    if dead is not None:
        e[dead] = 0
    # A fully masked row has no sum, and needs none.
    total = np.maximum(e.sum((1, 2)), 1 << config.fraction_bits)
    w = config.out_bits
    if config.order == "weight":
        y = ((e << (w + 1)) // total[:, None, None] + 1) >> 1
    else:
        r = config.reciprocal_bits
        place = np.frexp(total.astype(np.float64))[1] - 1
        # What lies below the bits that the divider looks at is cut off.
        mantissa = ((total << r) >> place) - (1 << r)
        factor = config.reciprocal_of(mantissa) << (config.sum_bits - 1 - place)
        shift = config.output_shift
        y = (e * factor[:, None, None] + (1 << shift >> 1)) >> shift
    return np.minimum(y, (1 << w) - 1)
