"""Integer model of Softermax (:mod:`rtl.softmax.softermax`)."""

import functools

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import round_shift

from ..rows import for_rows
from .online import OnlinePass
from .row_sum import normalised

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None,
        **row: np.ndarray) -> np.ndarray:
    """Compute Softermax; see :func:`sim.model.run`."""
    exponentials = np.array([*config.exponentials, 0], np.int32)
    reciprocals = np.array(config.reciprocals, np.int64)
    first = OnlinePass(config, exponentials,
                       dropped_bits=config.exp_fraction_bits - config.sum_fraction_bits)
    return for_rows(config, x, mask, functools.partial(
        _softmax, config, first, exponentials, reciprocals), row)


def _softmax(config, first, exponentials, reciprocals, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    code, reference, total = first(x, dead)
    u = exponentials.take(code)
    if dead is not None:
        u *= ~dead
    place, mantissa = normalised(total, config.smallest_place, config.mantissa_bits)
    factor = reciprocals[mantissa] << (config.sum_bits - 1 - place)
    octaves = (reference[:, -1:] - reference) >> config.position_fraction_bits
    u >>= np.minimum(octaves, 31)[..., None]
    product = u * factor[:, None, None]
    y = round_shift(product, config.output_shift)
    return np.minimum(y, 1 << (config.out_bits - 1))
