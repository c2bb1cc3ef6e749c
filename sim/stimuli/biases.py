"""Random biases and masks of each query's keys."""

from __future__ import annotations

import numpy as np

from rtl.attention import AttentionConfig
from rtl.fixed import signed_range

__all__ = ["random_biases"]


def random_biases(config: AttentionConfig, random: np.random.Generator,
                  shape: tuple[int, int]) -> np.ndarray:
    """Return elements of rows of biases (queries, keys) of one of several kinds; none without.

    Of any size, extremes only, small ones, and lines that fall with the distance as those of ALiBi;
    with none, few, most or all of a row's keys masked.
    """
    if config.bias == "none":
        return np.zeros((0, 0), np.int64)
    masked = random.random(shape) < random.choice([0, 0.2, 0.9])
    masked |= random.random((shape[0], 1)) < 0.05
    if config.bias == "mask":
        return masked.astype(np.int64)
    low, high = signed_range(config.bias_bits)
    kind = int(random.integers(4))
    if kind == 0:
        bias = random.integers(low, high + 1, shape)
    elif kind == 1:
        bias = random.choice([low + 1, high], shape)
    elif kind == 2:
        bias = np.rint(random.normal(0, max(high / 8, 1), shape)).astype(np.int64)
    else:
        queries, keys = np.indices(shape)
        bias = -np.abs(queries - keys) * int(random.integers(1, max(high // 8, 1) + 1))
    return np.where(masked, low, bias.clip(low + (kind > 1), high))
