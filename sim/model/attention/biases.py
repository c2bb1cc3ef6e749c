"""Biases and masks of each query's keys (:mod:`rtl.attention.logit_bias`)."""

from __future__ import annotations

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import clip, signed_range

__all__ = ["biased", "checked", "masking"]


def masking(config: UnitConfig) -> int:
    """Return the element of a row of biases that says that its key takes no part."""
    return 1 if config.bias == "mask" else signed_range(config.bias_bits)[0]


def checked(config: UnitConfig, bias: np.ndarray | None,
            shape: tuple[int, ...]) -> np.ndarray | None:
    """Return biases, broadcast to ``shape``; None, if there are none.

    Raises
    ------
    TypeError, ValueError
        If they are neither integers nor, as masks, booleans, are out of the range of
        ``config.bias_bits`` or do not fit the shape, or if the configuration takes none.
    """
    if bias is None:
        return None
    if config.bias == "none":
        raise ValueError('Biases need bias "mask" or "add"')
    bias, masks = np.asarray(bias), config.bias == "mask"
    if bias.dtype.kind not in ("iub" if masks else "iu"):
        raise TypeError(f"Biases must be integers{' or booleans' if masks else ''}, not "
                        f"{bias.dtype}")
    low, high = (0, 1) if masks else signed_range(config.bias_bits)
    if bias.size and not low <= int(bias.min()) <= int(bias.max()) <= high:
        raise ValueError(f"Biases must be in {low}..{high}, not {int(bias.min())}.."
                         f"{int(bias.max())}")
    try:
        return np.broadcast_to(bias, shape)
    except ValueError:
        raise ValueError(f"Biases must fit the shape {shape}, not {bias.shape}") from None


def biased(config: UnitConfig, x: np.ndarray, hidden: np.ndarray | None,
           bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return logits with their biases, and which keys take no part; all arrays of one shape.

    ``hidden`` has those that take no part anyway; None, if there are none.
    """
    if bias is None:
        return x, hidden
    gone = bias == masking(config)
    if config.bias == "add":
        # Neither has more than 16 bits.
        x = clip(np.add(x, bias, dtype=np.int32), *signed_range(config.logit_bits)).astype(x.dtype)
    return x, gone if hidden is None else gone | hidden
