"""Logits, and the keys that a query meets: all, predicted ones, or those of a greedy search."""

import numpy as np

from rtl.config import UnitConfig

from ...data.columns import sort
from . import greedy

__all__ = ["candidates", "kept", "logits", "predicted"]


def logits(config: UnitConfig, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the logits of queries (queries, dim) for keys (keys, dim): (queries, keys)."""
    return config.logit(q.astype(np.int64) @ k.astype(np.int64).T)


def predicted(config: UnitConfig, q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the predicted scores of queries (queries, dim) for keys (keys, dim)."""
    rule, (low, high) = config.predictor_config, config.element_range
    if rule.partial:
        part = [x[:, :rule.dims].astype(np.int64) for x in (q, k)]
        return part[0] @ part[1].T + rule.bias * rule.dims
    codes = np.array([rule.code(x) for x in range(low, high + 1)])
    size = 1 << rule.code_bits
    terms = np.array([[rule.term(a, b) for b in range(size)] for a in range(size)], np.int64)
    q, k = codes[q - low], codes[k - low]
    scores = np.zeros((len(q), len(k)), np.int64)
    for j in range(rule.dims):
        scores += terms[q[:, j, None], k[None, :, j]]
    return scores


def candidates(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
               iterations: int | None = None) -> np.ndarray:
    """Return the keys that the greedy search finds for each query: booleans (queries, keys)."""
    live = np.ones(len(k), bool) if mask is None else ~np.asarray(mask)
    columns = sort(k, ~live)
    steps = config.iterations if iterations is None else iterations
    found = [greedy.search(columns, query, steps, min_skip=config.min_skip) for query in q]
    return np.array([greedy.candidates(one.scores, live, config.empty) for one in found],
                    bool).reshape(len(q), len(k))


def kept(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
         start: int = 0, iterations: int | None = None, distance: int | None = None) -> np.ndarray:
    """Return the keys that have a weight: booleans (queries, keys).

    The queries are number ``start`` and following of their set, which counts if ``config.causal``.
    """
    live = np.ones((len(q), len(k)), bool) if mask is None else ~np.broadcast_to(
        mask, (len(q), len(k)))
    if config.causal:
        # Keys behind the query's place end its row early, which is the same as masking them.
        live = live & (np.arange(len(k)) <= np.arange(start, start + len(q))[:, None])
    if config.select == "none":
        return live
    if config.select == "greedy":
        steps = config.distance if distance is None else distance
        chosen = candidates(config, q, k, mask, iterations=iterations)
        return np.array([greedy.post_score(x, one, steps) for x, one in
                         zip(logits(config, q, k), chosen, strict=True)], bool).reshape(live.shape)
    scores = predicted(config, q, k)
    largest = np.where(live, scores, 0).max(axis=1, keepdims=True)
    if config.rule == "threshold":
        return live & (scores >= largest - config.threshold)
    if config.rule == "top-k":
        # Of equal scores the first ones: the sort is stable. Those of no part are negative.
        order = np.argsort(-np.where(live, scores, -1), axis=1, kind="stable")
        chosen = np.zeros_like(live)
        np.put_along_axis(chosen, order[:, :config.top_k], True, axis=1)
        return live & chosen
    # A key is kept that reaches mean + 2**-shift * (largest - mean), times the number of keys.
    number = live.sum(axis=1, keepdims=True)
    total = np.where(live, scores, 0).sum(axis=1, keepdims=True)
    limit = number * largest + (total << config.mean_shift) - total
    return live & ((number * scores << config.mean_shift) >= limit)
