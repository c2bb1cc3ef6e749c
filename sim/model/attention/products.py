"""Products of integer matrices, by the floating-point routines that hold their sums exactly."""

import numpy as np

__all__ = ["products"]

# Integers of this size and below are exact in float32.
EXACT = 1 << 24


def products(a: np.ndarray, b: np.ndarray, most: int, result: type = np.int64) -> np.ndarray:
    """Return ``a @ b``, of the type ``result``.

    Its partial sums are ``most`` or less in size, below 2**53. NumPy multiplies matrices of
    integers element by element, and of floats by BLAS. Every product and every sum on the way is an
    integer that the float holds, so nothing is rounded.
    """
    dtype = np.float32 if most <= EXACT else np.float64
    return np.matmul(a.astype(dtype, copy=False), b.astype(dtype, copy=False)).astype(result)
