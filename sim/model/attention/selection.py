"""Logits, and the keys that a query meets: all, predicted ones, or those of a greedy search.

Queries, keys and what is made of them may have leading axes: a set each.
"""

import functools
from collections.abc import Callable

import numpy as np

from rtl.config import UnitConfig

from . import greedy
from .products import products

__all__ = ["candidates", "kept", "logits", "predicted"]


def logits(config: UnitConfig, q: np.ndarray, k: np.ndarray,
           requantise: Callable | None = None) -> np.ndarray:
    """Return the logits of queries (..., queries, dim) for keys (..., keys, dim).

    int64 array, shape (..., queries, keys). ``requantise`` takes the place of ``config.logit``.
    """
    low, high = config.dot_range
    return (requantise or config.logit)(products(q, k.swapaxes(-1, -2), max(-low, high)))


def predicted(config: UnitConfig, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the predicted scores of queries (..., queries, dim) for keys (..., keys, dim)."""
    rule, (low, _) = config.predictor_config, config.element_range
    if rule.partial:
        most = rule.bias * rule.dims
        part = products(q[..., :rule.dims], k[..., :rule.dims].swapaxes(-1, -2), most)
        return part + most
    terms, ones = _terms(config)
    # A key has a one for each dimension's code, and a query the terms with all codes there.
    rows, ones = (table[x[..., :rule.dims].astype(np.int64) - low]
                  for table, x in ((terms, q), (ones, k)))
    ones, rows = (x.reshape(*x.shape[:-2], -1) for x in (ones, rows))
    return products(rows, ones.swapaxes(-1, -2), rule.largest * rule.dims)


@functools.lru_cache(maxsize=64)
def _terms(config):
    """Terms of each element with all codes, and a one at its own code: (elements, codes)."""
    rule, (low, high) = config.predictor_config, config.element_range
    codes = np.array([rule.code(x) for x in range(low, high + 1)])
    size = 1 << rule.code_bits
    terms = np.array([[rule.term(a, b) for b in range(size)] for a in range(size)], np.float32)
    return terms[codes], np.eye(size, dtype=np.float32)[codes]


def candidates(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
               iterations: int | None = None) -> np.ndarray:
    """Return the keys that the greedy search finds: booleans (..., queries, keys).

    ``mask`` (..., keys) is true for keys that take no part.
    """
    live = np.ones(k.shape[:-1], bool) if mask is None else \
        np.broadcast_to(~np.asarray(mask), k.shape[:-1])
    steps = config.iterations if iterations is None else iterations
    shape = (*q.shape[:-1], k.shape[-2])
    q, k = (x.reshape(-1, *x.shape[-2:]) for x in (q, k))
    live = live.reshape(len(k), -1)
    found = greedy.search_sets(q, k, live, steps, min_skip=config.min_skip)
    return greedy.candidates(found.scores, live[:, None], config.empty).reshape(shape)


def kept(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
         start: int = 0, iterations: int | None = None, distance: int | None = None,
         x: np.ndarray | None = None) -> np.ndarray:
    """Return the keys that have a weight: booleans (..., queries, keys).

    The queries are number ``start`` and following of their set, which counts if ``config.causal``.
    ``x`` are their :func:`logits`, if they are known.
    """
    keys = k.shape[-2]
    live = np.ones((*q.shape[:-1], keys), bool)
    if mask is not None:
        live &= ~np.asarray(mask)[..., None, :]
    if config.causal:
        # Keys behind the query's place end its row early, which is the same as masking them.
        live &= np.arange(keys) <= np.arange(start, start + q.shape[-2])[:, None]
    if config.select == "none":
        return live
    if config.select == "greedy":
        chosen = candidates(config, q, k, mask, iterations=iterations)
        return greedy.post_score(logits(config, q, k) if x is None else x, chosen,
                                 config.distance if distance is None else distance)
    scores = predicted(config, q, k)
    if config.rule == "top-k":
        return _largest(np.where(live, scores, -1), config.top_k) & live
    largest = np.where(live, scores, 0).max(axis=-1, keepdims=True)
    if config.rule == "threshold":
        return live & (scores >= largest - config.threshold)
    # A key is kept that reaches mean + 2**-shift * (largest - mean), times the number of keys.
    number = live.sum(axis=-1, keepdims=True)
    total = np.where(live, scores, 0).sum(axis=-1, keepdims=True)
    limit = number * largest + (total << config.mean_shift) - total
    return live & ((number * scores << config.mean_shift) >= limit)


def _largest(scores: np.ndarray, number: int) -> np.ndarray:
    """The ``number`` largest of the last axis; of equal scores the first ones."""
    if number >= scores.shape[-1]:
        return np.ones(scores.shape, bool)
    place = scores.shape[-1] - number
    limit = np.partition(scores, place, axis=-1)[..., place, None]
    more, equal = scores > limit, scores == limit
    left = number - more.sum(axis=-1, keepdims=True)
    return more | (equal & (equal.cumsum(axis=-1) <= left))
