"""Integer model of E2Softmax (:mod:`rtl.softmax.e2`)."""

import functools

import numpy as np

from rtl.config import UnitConfig

from ..rows import for_rows
from .online import OnlinePass
from .row_sum import normalised

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None,
        **row: np.ndarray) -> np.ndarray:
    """Compute E2Softmax; see :func:`sim.model.run`."""
    terms = np.array(config.terms, np.int32)
    if config.codes == "input":
        first = OnlinePass(config, terms)
        compute = functools.partial(_input, config, first, np.array(config.sum_logs, np.int32),
                                    np.array((*config.outputs[0], 0), np.int32))
    else:
        codes = None
        if config.incremental:
            distances = np.arange(1 << config.grid.position_bits, dtype=np.int64)
            codes = np.minimum(config.distance_code(distances), config.top_code).astype(np.uint8)
        first = OnlinePass(config, terms, codes, lambda rises: np.minimum(
            config.distance_code(rises), config.top_code))
        zero = np.zeros((len(config.outputs), 1), np.int32)
        compute = functools.partial(_octave, config, first, np.concatenate(
            [np.array(config.outputs, np.int32), zero], 1).ravel())
    return for_rows(config, x, mask, compute, row)


def _octave(config, first, outputs, x, dead):
    """Softmax of a block of shape (rows, beats, lanes), with codes in octaves."""
    code, reference, total = first(x, dead)
    place, constant = normalised(total, config.smallest_place, config.mantissa_bits)
    late = first.codes(reference[:, -1:] - reference).astype(np.int64)
    zero = config.zero_code
    code = np.minimum(code + late[..., None], config.top_code)
    code = np.minimum(code + (place - config.smallest_place)[:, None, None], zero)
    y = outputs[code + (constant * (zero + 1))[:, None, None]]
    if dead is not None:
        y[dead] = 0
    return y


def _input(config, first, logs, outputs, x, dead):
    """Softmax of a block of shape (rows, beats, lanes), with codes in steps of the input."""
    code, reference, total = first(x, dead)
    place, mantissa = normalised(total, config.smallest_place, config.mantissa_bits)
    log = logs[(place - config.smallest_place << config.mantissa_bits) | mantissa]
    late = reference[:, -1:] - reference
    code = code + late[..., None]
    hidden = code >= config.top_code
    # Every code of zero_code and above gives 0.
    y = outputs.take(code + log.astype(first.dtype)[:, None, None], mode="clip")
    y *= ~(hidden if dead is None else hidden | dead)
    return y
