"""Integer model of the exact LayerNorm (:mod:`rtl.layernorm.exact`)."""

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import round_shift

from .normalise import normalise

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Compute LayerNorm with exact statistics: ``int32`` array of the shape of ``x``.

    ``x`` is an integer array of shape (..., length) in ``config.raw_range``; see
    :func:`sim.model.run`. The reciprocal root is one step of Newton's, ``a - b * m`` for a radicand
    of ``m`` times a power of 4, ``1 <= m < 4``.
    """
    mantissa_bits = config.mantissa_bits
    bits = mantissa_bits + config.slope_bits
    offsets, slopes = np.array(config.rsqrt, np.int64).T
    below = config.rsqrt_index_bits - 1

    def squares_of(raw, value):
        return value * value

    def mantissa_of(radicand, place):
        # The radicand over an even power of two: 1 <= m < 4.
        even = place & ~1
        m = np.where(even >= mantissa_bits, radicand >> np.maximum(even - mantissa_bits, 0),
                     radicand << np.maximum(mantissa_bits - even, 0))
        odd = place & 1
        index = odd << below | (m >> (mantissa_bits + odd - below)) & ((1 << below) - 1)
        step = (offsets[index] << (bits - config.offset_bits)) - slopes[index] * m
        return np.minimum(round_shift(step, bits - config.root_bits), (2 << config.root_bits) - 1)

    return normalise(config, x, mask, squares_of, mantissa_of)
