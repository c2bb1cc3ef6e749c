"""Integer model of E2Softmax (:mod:`rtl.softmax.e2`)."""

import functools

import numpy as np

from .rows import for_rows


__all__ = ["run"]


def run(config, x, mask=None):
    """Compute E2Softmax; see :func:`sim.model.run`."""
    tables = _Tables(config)
    return for_rows(config, x, mask, functools.partial(_softmax, config, tables))


class _Tables:
    """Functions of one integer as arrays, so that each costs one look-up."""

    def __init__(self, config):
        low = -(1 << (config.bits - 1))
        logits = np.arange(low, -low, dtype=np.int64)
        self.low = low
        # A distance or a position may need one bit more than the logits, so 8 bits take 16.
        self.dtype = np.int16 if max(config.position_bits, config.reference_bits) < 15 else np.int32
        self.position = config.position(logits).astype(self.dtype)
        self.identity = bool((self.position == logits - low).all())
        top = config.top_code
        distances = np.arange(1 << config.position_bits, dtype=np.int64)
        if config.incremental:
            self.code = np.minimum(config.distance_code(distances), top).astype(np.uint8)
        self.terms = np.array(config.terms, np.int32)
        self.logs = np.array(config.sum_logs, np.int32)
        zero = np.zeros((len(config.outputs), 1), np.int32)
        self.outputs = np.concatenate([np.array(config.outputs, np.int32), zero], 1).ravel()


def _softmax(config, tables, x, dead):
    """Softmax of a block of shape (rows, beats, lanes)."""
    top = config.top_code
    position = (x.astype(tables.dtype) - tables.dtype(tables.low) if tables.identity
                else tables.position[x.astype(np.int64) - tables.low])
    if dead is not None:
        # The least position is neutral in the maximum.
        position[dead] = 0

    # Stage 1: running maximum, codes, sum.
    bucket = np.maximum.accumulate(position.max(-1) >> config.bucket_shift, axis=1)
    octave = config.octave(bucket.astype(np.int64))
    reference = config.reference(bucket.astype(np.int64)).astype(tables.dtype)
    code = _codes(config, tables, reference[..., None] - position)
    terms = tables.terms[code]
    if dead is not None:
        terms[dead] = 0
    beat_sums = terms.sum(-1, dtype=np.int64)
    rises = (np.minimum(config.distance_code(octave[:, 1:] - octave[:, :-1]), top)
             if config.codes == "octave" else octave[:, 1:] - octave[:, :-1])
    total = beat_sums[:, 0]
    for beat in range(1, beat_sums.shape[1]):
        total = (total >> np.minimum(rises[:, beat - 1], 62)) + beat_sums[:, beat]

    # Stage 2: correction of the codes, division.
    place = np.maximum(np.frexp(total.astype(np.float64))[1] - 1, config.smallest_place)
    bits = config.mantissa_bits
    mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
    log = tables.logs[(place - config.smallest_place << bits) | mantissa].astype(np.int64)
    late = reference[:, -1:] - reference
    # Codes of far references can pass 8 bits, and are of no use beyond the point where all is 0.
    late = (_codes(config, tables, late) if config.codes == "octave" else late).astype(np.int64)
    zero = config.zero_code
    if config.codes == "octave":
        code = np.minimum(code + late[..., None], top) + log[:, None, None]
    else:
        dead = (code == top) if dead is None else dead | (code == top)
        code = code + np.minimum(late + log[:, None], zero)[..., None]
    np.minimum(code, zero, out=code)
    if config.codes == "octave":
        code = code + (mantissa * (zero + 1))[:, None, None]
    y = tables.outputs[code]
    if dead is not None:
        y[dead] = 0
    return y


def _codes(config, tables, distance):
    """Codes, clipped, of distances."""
    if config.incremental:
        return tables.code[distance]
    return np.minimum(distance, config.top_code)
