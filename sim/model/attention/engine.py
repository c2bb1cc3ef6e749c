"""Integer model of the attention engine (:mod:`rtl.attention`)."""

import dataclasses

import numpy as np

from rtl.attention.greedy.column_merge import ColumnMerge
from rtl.attention.greedy.search import GreedySearch

from .. import run as run_unit
from . import greedy
from . import reuse as attention_map

__all__ = ["Work", "candidates", "kept", "logits", "predicted", "run", "weights", "work"]

# Dot products that are worked on at a time: few enough for the arrays to stay in the cache.
CHUNK = 1 << 16


def run(config, q, k, v, mask=None, *, iterations=None, distance=None):
    """Compute the outputs of queries.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    q : array of integers, shape (..., queries, dim)
        Queries; a set's are in the order in which they come, which counts if ``config.causal``.
    k, v : arrays of integers, shape (..., keys, dim)
        Keys and values, ``1 <= keys <= config.max_keys``; leading axes as those of ``q``.
    mask : array of booleans, broadcastable to (..., keys)
        True: the key takes no part.
    iterations, distance : int
        With ``config.select`` "greedy", what the inputs of these names were set to; by default
        what they are after reset.

    Returns
    -------
    array of int32, shape of ``q``
        Outputs, each worth ``config.output_scale``.

    Raises
    ------
    TypeError, ValueError
        If an array is not of integers (of booleans), out of the range of ``config.bits``, or of a
        shape that does not fit.
    """
    q, k, v, mask = _check(config, q, k, v, mask)
    shape = q.shape
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    mask = None if mask is None else mask.reshape(-1, mask.shape[-1])
    result = np.empty(q.shape, np.int32)
    step = max(1, CHUNK // k.shape[1])
    for number in range(len(q)):
        hidden = None if mask is None else mask[number]
        for start in range(0, q.shape[1], step):
            part = slice(start, start + step)
            w = _weights(config, q[number, part], k[number], hidden, start, iterations, distance)
            if config.reuse:
                result[number, part] = attention_map.weighted(config, w, v[number])
            else:
                result[number, part] = config.output(
                    w.astype(np.int64) @ v[number].astype(np.int64))
    return result.reshape(shape)


def logits(config, q, k):
    """Logits of queries (queries, dim) for keys (keys, dim), as the softmax gets them."""
    return config.logit(q.astype(np.int64) @ k.astype(np.int64).T)


def weights(config, q, k, mask=None, *, iterations=None, distance=None):
    """Weights, each worth ``config.softmax_config.output_scale``, of (queries, dim) (keys, dim).

    With ``config.reuse`` they are the codes of the map, which add up to anything.
    """
    return _weights(config, q, k, mask, 0, iterations, distance)


def predicted(config, q, k):
    """Predicted scores of queries (queries, dim) for keys (keys, dim), as they are compared."""
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


def kept(config, q, k, mask=None, *, iterations=None, distance=None):
    """Keys that have a weight: booleans (queries, keys), of queries 0, 1, ... of a set."""
    return _kept(config, q, k, mask, 0, iterations, distance)


def candidates(config, q, k, mask=None, *, iterations=None):
    """Keys that the greedy search finds for each query: booleans (queries, keys)."""
    live = np.ones(len(k), bool) if mask is None else ~np.asarray(mask)
    columns = greedy.sort(k, ~live)
    steps = config.iterations if iterations is None else iterations
    found = [greedy.search(columns, query, steps, min_skip=config.min_skip) for query in q]
    return np.array([greedy.candidates(one.scores, live, config.empty) for one in found],
                    bool).reshape(len(q), len(k))


@dataclasses.dataclass(frozen=True)
class Work:
    """What the queries of a set take, per query on average.

    Attributes
    ----------
    seen, kept : float
        Keys that could take part, and those that a query met.
    cycles : float
        Cycles between one query and the next, once the engine is full.
    multiplications : float
        Multiplications of dot products, exact or predicted, and of weighted sums.
    terms : float
        Terms of predicted scores that take no multiplication; products of a greedy search.
    table_reads : float
        Words read of tables: an exponential of each key that is met, and where a division ends the
        query its factor.
    memory_bits : float
        Bits read from the memories of keys, values, codes and scores, or sorted columns, and read
        from or written to that of the maps.
    candidates : float
        Keys that a greedy search found, of which ``kept`` stayed.
    """

    seen: float
    kept: float
    cycles: float
    multiplications: float
    terms: float
    table_reads: float
    memory_bits: float
    candidates: float = 0.0


def work(config, q, k, mask=None, *, reused=False):
    """Work of queries (queries, dim) of a set of keys (keys, dim).

    Masked keys are read and multiplied as others are, unless they are selected against; keys behind
    a causal query's place are not. With ``reused`` it is the work of values that reuse the map of
    these queries and keys.
    """
    if config.select == "greedy":
        return _greedy_work(config, q, k, mask)
    chosen = _kept(config, q, k, mask, 0)
    places = np.arange(1, len(q) + 1) if config.causal else len(k)
    seen = np.broadcast_to(np.minimum(places, len(k)), len(q))
    vector, rule = config.dim * config.bits, config.predictor_config
    words = 0
    if reused:
        return _reused_work(config, seen, chosen)
    if config.select == "none":
        met = seen
        cycles = np.maximum(-(-met // config.lanes), config.vector_beats)
    else:
        # A query without a key that takes part meets one all the same.
        met = np.maximum(chosen.sum(axis=1), 1)
        words = -(-seen // config.predict_lanes)
        # Queries in work at the same time even out what each of them takes.
        cycles = np.maximum(max(words.mean(), met.mean()), config.vector_beats)
    terms = seen * rule.dims if config.select != "none" else 0
    known = config.known_dims
    bits = (met * (2 * vector + 1) + words * config.predict_lanes
            * (rule.dims * rule.code_bits + 1))
    if known:
        bits = bits + met * (rule.score_bits - known * config.bits)
    if config.reuse:
        bits = bits + met * config.code_bits + config.division.places[1] + 1
    return _mean_work(
        seen=seen, kept=chosen.sum(axis=1), cycles=cycles,
        multiplications=met * (2 * config.dim - known) + (terms if known else 0),
        terms=0 if known else terms, table_reads=met + config.reuse, memory_bits=bits)


def _reused_work(config, seen, chosen):
    """Work of values alone: two queries share the cycles, and the values that are read."""
    pairs = [seen[start:start + 2].max() for start in range(0, len(seen), 2)]
    gap = 2 * config.reuse_cycles(1)
    bits = (sum(pairs) * config.dim * config.bits / len(seen) + seen * config.code_bits
            + config.division.places[1] + 1)
    return _mean_work(
        seen=seen, kept=chosen.sum(axis=1), cycles=np.maximum(pairs, gap).sum() / len(seen),
        multiplications=seen * config.dim, terms=0, table_reads=1, memory_bits=bits)


def _mean_work(**figures):
    return Work(**{name: float(np.mean(values)) for name, values in figures.items()})


def _greedy_work(config, q, k, mask):
    live = np.ones(len(k), bool) if mask is None else ~np.asarray(mask)
    columns = greedy.sort(k, ~live)
    found = candidates(config, q, k, mask).sum(axis=1)
    stayed = _kept(config, q, k, mask, 0).sum(axis=1)
    # A query of a set that is masked as a whole meets it all the same, or its first key.
    met = found if live.any() else np.full(len(q), len(k) if config.empty == "all" else 1)
    weighed = np.maximum(stayed, 1)
    taken = [greedy.search(columns, query, config.iterations, min_skip=config.min_skip)
             for query in q]
    # The ends of the columns, and one element for each product that was taken.
    terms = 2 * config.dim * ColumnMerge.HEAD + np.array([one.products for one in taken])
    vector, element = config.dim * config.bits, config.bits + (len(k) - 1).bit_length()
    bits = met * (vector + 1) + weighed * vector + terms * element
    cycles = max(GreedySearch.cycles_of(config, len(k)), met.mean(), config.vector_beats)
    return _mean_work(seen=len(k), kept=stayed, cycles=cycles,
                      multiplications=(met + weighed) * config.dim, terms=terms,
                      table_reads=weighed, memory_bits=bits, candidates=found)


def _kept(config, q, k, mask, start, iterations=None, distance=None):
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


def _weights(config, q, k, mask, start, iterations=None, distance=None):
    x = logits(config, q, k)
    hidden = ~_kept(config, q, k, mask, start, iterations, distance)
    if config.reuse:
        return attention_map.codes(config, x, hidden)
    return run_unit(config.softmax_config, x, hidden)


def _check(config, q, k, v, mask):
    low, high = config.element_range
    q, k, v = map(np.asarray, (q, k, v))
    for name, x in ("Queries", q), ("Keys", k), ("Values", v):
        if x.dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, not {x.dtype}")
        if x.ndim < 2 or x.shape[-1] != config.dim:
            raise ValueError(f"{name} must have the shape (..., {config.dim}), not {x.shape}")
        if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
            raise ValueError(f"{name} must be in {low}..{high}, "
                             f"not {int(x.min())}..{int(x.max())}")
    if k.shape != v.shape:
        raise ValueError(f"Values must have the shape of the keys {k.shape}, not {v.shape}")
    if not 1 <= k.shape[-2] <= config.max_keys:
        raise ValueError(f"Keys must be 1..{config.max_keys}, not {k.shape[-2]}")
    if q.shape[:-2] != k.shape[:-2]:
        raise ValueError(f"Leading axes of the queries must be those of the keys {k.shape[:-2]}, "
                         f"not {q.shape[:-2]}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"Mask must be boolean, not {mask.dtype}")
        try:
            mask = np.broadcast_to(mask, k.shape[:-1])
        except ValueError:
            raise ValueError(f"Mask must fit the shape {k.shape[:-1]}, not {mask.shape}") from None
    return q, k, v, mask
