"""What the models share whose exponentials are relative to a row's final maximum."""

import numpy as np

from rtl.fixed import signed_range

__all__ = ["distances"]


def distances(x: np.ndarray, dead: np.ndarray | None, bits: int) -> np.ndarray:
    """Distances to the largest live element of each row; undefined for dead elements.

    Never negative, so that they can index a table of ``2**bits`` words.
    """
    low, _ = signed_range(bits)
    dtype = np.int16 if bits < 16 else np.int32
    x = x.astype(dtype)
    # The least logit is neutral in the maximum.
    alive = x if dead is None else np.where(dead, dtype(low), x)
    return alive.max((1, 2), keepdims=True) - alive
