"""Integer model of REXP (:mod:`rtl.softmax.rexp`)."""

import functools

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import round_shift

from ..rows import for_rows
from .exponent_table import exponent_pass

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None,
        **row: np.ndarray) -> np.ndarray:
    """Compute REXP; see :func:`sim.model.run`."""
    compute = functools.partial(_softmax, config, exponent_pass(config),
                                np.array(config.exponentials, np.int32),
                                np.array(config.alphas, np.int64))
    return for_rows(config, x, mask, compute, row)


def _softmax(config, first, exponentials, alphas, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    entry, column = first(x, dead)
    s = exponentials[entry]
    if dead is not None:
        s[dead] = 0
    product = s * alphas[column][:, None, None]
    if config.sum_index == "floating":
        return round_shift(product, config.alpha_shift)
    if config.scaling == "cheap":
        return product >> config.out_bits
    one = (1 << config.out_bits) - 1
    return (2 * product + one) // (2 * one)
