"""Integer model of REXP (:mod:`rtl.softmax.rexp`)."""

import functools

import numpy as np

from .rows import for_rows
from .two_pass import distances, floating_index


__all__ = ["run"]


def run(config, x, mask=None):
    """Compute REXP; see :func:`sim.model.run`."""
    distance = np.arange(1 << config.bits, dtype=np.int64)
    terms = np.array(config.exponentials, np.int32)[config.index(distance)]
    return for_rows(config, x, mask, functools.partial(_softmax, config, terms,
                                                       np.array(config.alphas, np.int64)))


def _softmax(config, terms, alphas, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    s = terms[distances(x, dead, config.bits)]
    if dead is not None:
        s[dead] = 0
    total = s.sum((1, 2), dtype=np.int64)
    if config.sum_index == "linear":
        least = 1 << config.sum_fraction_bits
        index = config.linear_index(total).clip(least, config.alpha_count - 1)
    else:
        index = floating_index(config, total)
    product = s * alphas[index][:, None, None]
    if config.sum_index == "floating":
        return (product + (1 << config.alpha_shift >> 1)) >> config.alpha_shift
    if config.scaling == "cheap":
        return product >> config.out_bits
    one = (1 << config.out_bits) - 1
    return (2 * product + one) // (2 * one)
