"""Integer model of Softermax (:mod:`rtl.softmax.softermax`)."""

import functools

import numpy as np

from .rows import for_rows


__all__ = ["run"]


def run(config, x, mask=None):
    """Compute Softermax; see :func:`sim.model.run`."""
    low = -(1 << (config.bits - 1))
    positions = config.position(np.arange(low, -low, dtype=np.int64)).astype(np.int32)
    exponentials = np.array([*config.exponentials, 0], np.int32)
    reciprocals = np.array(config.reciprocals, np.int64)
    return for_rows(config, x, mask, functools.partial(
        _softmax, config, positions, exponentials, reciprocals))


def _softmax(config, positions, exponentials, reciprocals, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    f = config.position_fraction_bits
    position = positions[x.astype(np.int32) + (1 << (config.bits - 1))]
    if dead is not None:
        # The least position is neutral in the maximum.
        position[dead] = 0

    # First pass: integer maximum so far, exponentials, sum.
    octave = (np.maximum.accumulate(position.max(-1), axis=1) + (1 << f) - 1) >> f
    distance = (octave << f)[..., None] - position
    u = exponentials[np.minimum(distance, len(exponentials) - 1)]
    if dead is not None:
        u[dead] = 0
    beat_sums = (u.sum(-1, dtype=np.int64)
                 >> (config.exp_fraction_bits - config.sum_fraction_bits))
    total = beat_sums[:, 0]
    for beat in range(1, beat_sums.shape[1]):
        rise = np.minimum(octave[:, beat] - octave[:, beat - 1], 62)
        total = (total >> rise) + beat_sums[:, beat]

    # Second pass: normalisation.
    place = np.maximum(np.frexp(total.astype(np.float64))[1] - 1, config.smallest_place)
    bits = config.mantissa_bits
    mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
    factor = reciprocals[mantissa] << (config.sum_bits - 1 - place)
    late = np.minimum(octave[:, -1:] - octave, 31)
    product = (u >> late[..., None]) * factor[:, None, None]
    y = (product + (1 << config.output_shift >> 1)) >> config.output_shift
    return np.minimum(y, 1 << (config.out_bits - 1))
