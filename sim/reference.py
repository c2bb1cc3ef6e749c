"""Float64 references: what the units approximate."""

import numpy as np


__all__ = ["softmax"]


def softmax(logits, mask=None):
    """Softmax over the last axis; masked elements (True) take no part and get 0.

    A fully masked row gives zeros.
    """
    logits = np.asarray(logits, np.float64)
    if mask is not None:
        logits = np.where(mask, -np.inf, logits)
    top = logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(logits - np.where(np.isfinite(top), top, 0.0))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total > 0, total, 1.0)
