"""Rows of a softmax, as beats: checks and padding that every model starts with."""

from collections.abc import Callable

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import signed_range

__all__ = ["for_rows"]

# Elements that are worked on at a time: few enough for the arrays to stay in the cache.
CHUNK = 1 << 15


def for_rows(config: UnitConfig, x: np.ndarray, mask: np.ndarray | None,
             compute: Callable) -> np.ndarray:
    """Run ``compute(x, dead)`` on blocks of rows and gather the results.

    ``x`` of shape (..., length) is checked and cut into blocks of shape (rows, beats, lanes), the
    last beat filled up with dead elements. ``dead`` is a boolean array of the same shape, or None
    where every element lives. The results, of that shape too, come back in the shape of ``x``.
    """
    x, mask = _check(config, x, mask)
    length, lanes = x.shape[-1], config.lanes
    beats = -(-length // lanes)
    padding = beats * lanes - length
    flat = x.reshape(-1, length)
    dead = None if mask is None else mask.reshape(-1, length)
    result = np.empty(flat.shape, np.int32)
    step = max(1, CHUNK // (beats * lanes))
    for start in range(0, len(flat), step):
        rows = flat[start:start + step]
        block = None if dead is None else dead[start:start + step]
        if padding:
            if block is None:
                block = np.zeros(rows.shape, bool)
            rows = np.pad(rows, ((0, 0), (0, padding)))
            block = np.pad(block, ((0, 0), (0, padding)), constant_values=True)
        shape = (len(rows), beats, lanes)
        out = compute(rows.reshape(shape), None if block is None else block.reshape(shape))
        result[start:start + step] = out.reshape(len(rows), -1)[:, :length]
    return result.reshape(x.shape)


def _check(config, x, mask):
    if x.dtype.kind not in "iu":
        raise TypeError(f"Logits must be integers, not {x.dtype}")
    if x.ndim == 0 or not 1 <= x.shape[-1] <= config.max_length:
        raise ValueError(f"Rows must have 1..{config.max_length} elements, "
                         f"not {x.shape[-1] if x.ndim else 'none'}")
    low, high = signed_range(config.bits)
    if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
        raise ValueError(f"Logits must be in {low}..{high}, "
                         f"not {int(x.min())}..{int(x.max())}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"Mask must be boolean, not {mask.dtype}")
        try:
            mask = np.broadcast_to(mask, x.shape)
        except ValueError:
            raise ValueError(f"Mask must fit the shape {x.shape}, not {mask.shape}") from None
    return x, mask
