"""Integer model of AILayerNorm (:mod:`rtl.layernorm.ai`)."""

import numpy as np

from rtl.config import UnitConfig

from .normalise import normalise

__all__ = ["run"]


def run(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Compute AILayerNorm: ``int32`` array of the shape of ``x``; see :func:`sim.model.run`.

    ``x`` is an integer array of shape (..., length) in ``config.raw_range``. The square of an
    element is that of its code, from a table; the reciprocal root is a word of ``config.rsqrt``.
    """
    low = config.raw_range[0]
    alpha = np.array(config.alphas[:x.shape[-1] if x.ndim else 0], np.int64)
    table = np.array([(code << config.flag_shift * flag) ** 2 for code, flag in config.codes],
                     np.int64)
    words = np.array(config.rsqrt, np.int64)
    below = config.rsqrt_index_bits - 1

    def squares_of(raw, value):
        return table[raw - low] << 2 * alpha

    def mantissa_of(radicand, place):
        fraction = (radicand << below >> place) & ((1 << below) - 1)
        return words[(place & 1) << below | fraction]

    return normalise(config, x, mask, squares_of, mantissa_of)
