"""Sum of a row as a place and a mantissa (:mod:`rtl.softmax.row_sum`)."""

import numpy as np

__all__ = ["normalised"]


def normalised(total: np.ndarray, least: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Place of the leading one of sums, ``least`` or more, and the ``bits`` bits below it."""
    # A sum has at most 53 bits, which a float holds exactly.
    place = np.maximum(np.frexp(total.astype(np.float64))[1] - 1, least)
    return place, ((total << bits) >> place) & ((1 << bits) - 1)
