"""Integer model of attention maps that are kept (:mod:`rtl.attention.reuse.tail`)."""

import dataclasses

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import clip, half, signed_range

from ..softmax.two_pass import distances
from .products import products
from .selection import kept, logits

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
    def sums(self) -> np.ndarray:
        """Sum of the codes of each query."""
        return self.codes.sum(axis=1)

    @classmethod
    def of(cls, config: UnitConfig, q: np.ndarray, k: np.ndarray,
           mask: np.ndarray | None = None) -> "AttentionMap":
        """Return the map of queries (queries, dim) of a set to its keys (keys, dim)."""
        return cls(codes(config, logits(config, q, k), ~kept(config, q, k, mask)))

    def run(self, config: UnitConfig, v: np.ndarray) -> np.ndarray:
        """Return the outputs (queries, value_dim) for values (keys, value_dim)."""
        v = np.asarray(v)
        shape = self.codes.shape[1], config.value_dim
        if v.shape != shape:
            raise ValueError(f"Values must have the shape {shape} of the map, not {v.shape}")
        return weighted(config, self.codes, v).astype(np.int32)


def codes(config: UnitConfig, x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return the codes of the exponentials of logits ``x`` (..., keys); 0 for the hidden ones."""
    table = np.zeros(1 << config.logit_bits, np.int64)
    words = config.softmax_config.codes
    table[:len(words)] = words
    rows = (-1, 1, x.shape[-1])
    d = distances(x.reshape(rows), hidden.reshape(rows), config.logit_bits).reshape(x.shape)
    # The distance of a hidden logit is undefined.
    return np.where(hidden, 0, table[np.where(hidden, 0, d)])


def weighted(config: UnitConfig, codes: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the outputs of codes (..., queries, keys) for values (..., keys, value_dim)."""
    total = codes.sum(axis=-1, keepdims=True, dtype=np.int64)
    most = int(total.max(initial=0)) * -config.element_range[0]
    return divided(config.division, products(codes, v, most), total)


def divided(division: object, x: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return ``division(x, total)`` of arrays, for the division ``config.division``."""
    least, bits = division.places[0], division.MANTISSA_BITS
    # A sum has less bits than a float holds exactly.
    place = np.maximum(np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1, least)
    mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
    factor = np.array(division.factors)[mantissa]
    shift = division.shift + 1 + place - least
    return clip((x * factor + half(shift)) >> shift, *signed_range(division.bits))
