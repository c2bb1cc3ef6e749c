"""Additive biases of attention: real ones as integers, and ALiBi."""

from __future__ import annotations

import numpy as np

from rtl.attention import AttentionConfig

from .synthetic import quantise

__all__ = ["alibi", "quantised"]


def alibi(slope: float, queries: int, keys: int, start: int = 0) -> np.ndarray:
    """Return ``-slope |i - j|`` for queries ``i`` from ``start`` on and keys ``j``.

    Attention with linear biases (Press, Smith and Lewis, ICLR 2022); head ``h`` of ``n``, a power
    of two, has the slope ``2**(-8 (h + 1) / n)``.
    """
    return -slope * np.abs(np.arange(start, start + queries)[:, None] - np.arange(keys))


def quantised(config: AttentionConfig, bias: np.ndarray) -> np.ndarray:
    """Return real biases as the integers that the engine of ``config`` takes with ``bias`` "add".

    The nearest multiples of ``logit_scale``, saturated to plus and minus the largest of
    ``bias_bits``; minus infinity, as of a mask, becomes the least one.
    """
    bias = np.asarray(bias, np.float64)
    hidden = np.isneginf(bias)
    finite = quantise(np.where(hidden, 0.0, bias), config.logit_scale, config.bias_bits)
    return np.where(hidden, -(1 << (config.bias_bits - 1)), finite)
