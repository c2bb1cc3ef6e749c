"""Integer model of attention maps that are kept (:mod:`rtl.attention.reuse.engine`)."""

import dataclasses

import numpy as np

from rtl.attention.reuse.row_division import MANTISSA_BITS

from ..softmax.two_pass import distances

__all__ = ["AttentionMap", "codes", "divided", "weighted"]


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention map of a set.

    Attributes
    ----------
    codes : int64 array, shape (queries, keys)
        Codes of the exponentials.
    """

    codes: np.ndarray

    @property
    def sums(self):
        """Sum of the codes of each query."""
        return self.codes.sum(axis=1)

    @classmethod
    def of(cls, config, q, k, mask=None):
        """Map of queries (queries, dim) of a set to its keys (keys, dim)."""
        from . import engine as attention
        return cls(codes(config, attention.logits(config, q, k),
                         ~attention.kept(config, q, k, mask)))

    def run(self, config, v):
        """Outputs (queries, dim) for values (keys, dim)."""
        v = np.asarray(v)
        if v.shape != (self.codes.shape[1], config.dim):
            raise ValueError(f"Values must have the shape {(self.codes.shape[1], config.dim)} of "
                             f"the map, not {v.shape}")
        return weighted(config, self.codes, v).astype(np.int32)


def codes(config, logits, hidden):
    """Codes of the exponentials of rows of logits; 0 for the hidden ones."""
    table = np.zeros(1 << config.logit_bits, np.int64)
    words = config.softmax_config.codes
    table[:len(words)] = words
    d = distances(logits[:, None], hidden[:, None], config.logit_bits)[:, 0]
    # Of what is hidden the distance is of no use.
    return np.where(hidden, 0, table[np.where(hidden, 0, d)])


def weighted(config, codes, v):
    """Outputs of rows of codes for values."""
    return divided(config.division, codes.astype(np.int64) @ v.astype(np.int64),
                   codes.sum(axis=1, keepdims=True, dtype=np.int64))


def divided(division, x, total):
    """:class:`~rtl.attention.reuse.row_division.RowDivision` of arrays: ``division(x, total)``."""
    least = division.places[0]
    # A sum has less bits than a float holds exactly.
    place = np.maximum(np.frexp(total.astype(np.float64))[1] - 1, least)
    mantissa = ((total << MANTISSA_BITS) >> place) & ((1 << MANTISSA_BITS) - 1)
    factor = np.array(division.factors)[mantissa]
    y = (((x * factor) >> (division.shift + place - least)) + 1) >> 1
    return y.clip(division.low, division.high)
