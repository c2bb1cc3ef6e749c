"""Integer model of the exact LayerNorm (:mod:`rtl.layernorm.exact`)."""

import numpy as np

from rtl.layernorm.exact import MANTISSA_BITS, OFFSET_BITS, SLOPE_BITS

from .normalise import normalise

__all__ = ["run"]


def run(config, x, mask=None):
    """Compute LayerNorm with exact statistics; see :func:`sim.model.run`."""
    offsets, slopes = np.array(config.rsqrt, np.int64).T
    below = config.rsqrt_index_bits - 1

    def squares_of(raw, value):
        return value * value

    def mantissa_of(radicand, place):
        # The radicand over an even power of two: 1 <= m < 4.
        even = place & ~1
        m = np.where(even >= MANTISSA_BITS, radicand >> np.maximum(even - MANTISSA_BITS, 0),
                     radicand << np.maximum(MANTISSA_BITS - even, 0))
        odd = place & 1
        index = odd << below | (m >> (MANTISSA_BITS + odd - below)) & ((1 << below) - 1)
        bits = MANTISSA_BITS + SLOPE_BITS
        step = (offsets[index] << (bits - OFFSET_BITS)) - slopes[index] * m
        shift = bits - config.root_bits
        return np.minimum(step + (1 << (shift - 1)) >> shift, (2 << config.root_bits) - 1)

    return normalise(config, x, mask, squares_of, mantissa_of)
