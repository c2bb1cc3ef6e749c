"""Logits, and the keys that a query meets: all, predicted ones, or those of a greedy search.

Queries, keys and what is made of them may have leading axes: a set each.
"""

import functools
from collections.abc import Callable

import numpy as np

from rtl.config import UnitConfig

from . import greedy
from .products import products

__all__ = ["candidates", "kept", "logits", "predicted", "selected"]


def logits(config: UnitConfig, q: np.ndarray, k: np.ndarray,
           requantise: Callable | None = None) -> np.ndarray:
    """Return the logits of queries (..., queries, dim) for keys (..., keys, dim).

    int32 or int64 array, shape (..., queries, keys). ``requantise`` takes the place of
    ``config.logit``.
    """
    low, high = config.dot_range
    most, rule = max(-low, high), config.logit
    # Half the bytes where no sum and no product needs more.
    narrow = requantise is None and most * rule.multiplier + rule.half < 1 << 31
    return (requantise or rule)(products(q, k.swapaxes(-1, -2), most,
                                         np.int32 if narrow else np.int64))


def predicted(config: UnitConfig, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the predicted scores of queries (..., queries, dim) for keys (..., keys, dim)."""
    rule, (low, _) = config.predictor_config, config.element_range
    if rule.partial:
        most = rule.bias * rule.dims
        part = products(q[..., :rule.dims], k[..., :rule.dims].swapaxes(-1, -2), most)
        return part + most
    terms, ones = _terms(config)
    # A key has a one for each dimension's code, and a query the terms with all codes there.
    rows, ones = (table.take(x[..., :rule.dims].astype(np.int64) - low, axis=0, mode="clip")
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
               iterations: int | np.ndarray | None = None) -> np.ndarray:
    """Return the keys that the greedy search finds: booleans (..., queries, keys).

    ``mask`` (..., keys) is true for keys that take no part. ``iterations`` takes the place of
    ``config.iterations``: a number, or an array with one for each set.
    """
    scores, live = _searched(config, q, k, mask, iterations)
    return greedy.candidates(scores, live, config.empty)


def _searched(config, q, k, mask, iterations):
    """Scores of the greedy search (..., queries, keys), and keys that take part (..., 1, keys)."""
    live = np.ones(k.shape[:-1], bool) if mask is None else \
        np.broadcast_to(~np.asarray(mask), k.shape[:-1])
    steps = config.iterations if iterations is None else iterations
    shape = (*q.shape[:-1], k.shape[-2])
    sets = live[..., None, :]
    q, k = (x.reshape(-1, *x.shape[-2:]) for x in (q, k))
    live = live.reshape(len(k), -1)
    steps = np.broadcast_to(np.ravel(steps), len(k))
    scores = np.empty((*q.shape[:-1], k.shape[1]), np.int64)
    for number in np.unique(steps):
        own = steps == number
        scores[own] = greedy.search_sets(q[own], k[own], live[own], int(number),
                                         min_skip=config.min_skip).scores
    return scores.reshape(shape), sets


def kept(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
         start: int = 0, x: np.ndarray | None = None, **limits: int | np.ndarray) -> np.ndarray:
    """Return the keys that have a weight: booleans (..., queries, keys).

    The queries are number ``start`` and following of their set, which counts if ``config.causal``.
    ``x`` are their :func:`logits`, if they are known. ``limits`` take the place of those that
    ``config.limits`` names: numbers, or arrays (..., 1, 1) with one for each set.
    """
    return selected(config, q, k, mask, start=start, x=x, **limits)[1]


def selected(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
             start: int = 0, x: np.ndarray | None = None,
             **limits: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys that the selection hands out, and :func:`kept`; arguments as of that.

    They differ where logits decide as well: behind a greedy search. A search without a candidate
    hands out masked keys, too, if ``config.empty`` is "all".
    """
    limit = {name: getattr(config, name) for name in config.limits} | limits
    if config.select == "greedy":
        scores, live = _searched(config, q, k, mask, limit["iterations"])
        met = chosen = greedy.candidates(scores, live, config.empty)
        if config.empty == "all":
            met = chosen | ~((scores > 0) & live).any(axis=-1, keepdims=True)
        return met, greedy.post_score(logits(config, q, k) if x is None else x, chosen,
                                      limit["distance"])
    keys = k.shape[-2]
    live = np.ones((*q.shape[:-1], keys), bool)
    if mask is not None:
        live &= ~np.asarray(mask)[..., None, :]
    if config.causal:
        # Keys behind the query's place end its row early, which is the same as masking them.
        live &= np.arange(keys) <= np.arange(start, start + q.shape[-2])[:, None]
    if config.select == "predict":
        live = _predicted(config, predicted(config, q, k), live, limit)
    return live, live


def _predicted(config, scores, live, limit):
    """Which of the ``live`` keys a prediction keeps."""
    if config.rule == "top-k":
        return _largest(np.where(live, scores, -1), limit["top_k"]) & live
    masked = scores * live
    largest = masked.max(axis=-1, keepdims=True)
    if config.rule == "threshold":
        return live & (scores >= largest - limit["threshold"])
    # A key is kept that reaches mean + 2**-shift * (largest - mean), rounded up: a division for
    # each query, not a product for each key.
    number = np.maximum(live.sum(axis=-1, keepdims=True), 1)
    total = masked.sum(axis=-1, keepdims=True)
    shift = limit["mean_shift"]
    least = number * largest + (total << shift) - total
    return live & (scores >= -(-least // (number << shift)))


def _largest(scores: np.ndarray, number: int | np.ndarray) -> np.ndarray:
    """The ``number`` largest of the last axis; of equal scores the first ones."""
    if isinstance(number, np.ndarray):
        # Each set has its own.
        found = np.empty(scores.shape, bool)
        own = np.broadcast_to(number, (*scores.shape[:-2], 1, 1))[..., 0, 0]
        for each in np.unique(own):
            found[own == each] = _largest(scores[own == each], int(each))
        return found
    if number >= scores.shape[-1]:
        return np.ones(scores.shape, bool)
    place = scores.shape[-1] - number
    limit = np.partition(scores, place, axis=-1)[..., place, None]
    more, equal = scores > limit, scores == limit
    left = number - more.sum(axis=-1, keepdims=True)
    return more | (equal & (equal.cumsum(axis=-1) <= left))
