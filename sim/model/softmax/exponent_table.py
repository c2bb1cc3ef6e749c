"""What the models of REXP and of the 2D LUT share: exponents, and the index of their sum."""

import functools
from collections.abc import Callable

import numpy as np

from rtl.config import UnitConfig

from .online import OnlinePass
from .row_sum import normalised
from .two_pass import distances

__all__ = ["exponent_pass"]


def exponent_pass(config: UnitConfig) -> Callable:
    """Function of a block of shape (rows, beats, lanes) and its dead elements.

    It returns the entry of the exponent table of each element, and the index of each row's sum,
    from 0 on. Undefined for dead elements.
    """
    if config.running:
        first = OnlinePass(config, np.array(config.terms, np.int32))
        return functools.partial(_running, config, first)
    index = config.index(np.arange(1 << config.bits, dtype=np.int64)).astype(np.int32)
    return functools.partial(_final, config, index, np.array(config.exponentials, np.int32))


def _final(config, index, exponentials, x, dead):
    entry = index[distances(x, dead, config.bits)]
    terms = exponentials[entry]
    if dead is not None:
        terms[dead] = 0
    return entry, _index(config, terms.sum((1, 2), dtype=np.int64))


def _running(config, first, x, dead):
    code, reference, total = first(x, dead)
    late = reference[:, -1:] - reference
    return np.minimum(code + late[..., None], config.entries - 1), _index(config, total)


def _index(config, total):
    """Index of sums, from 0 on."""
    if config.sum_index == "linear":
        return config.linear_number(total)
    bits = config.sum_mantissa_bits
    place, mantissa = normalised(total, config.smallest_place, bits)
    return ((place - config.smallest_place) << bits) | mantissa
