"""Work of an attention engine: cycles, multiplications and memory bits of a query, estimated."""

import dataclasses

import numpy as np

from rtl.attention.greedy.column_merge import ColumnMerge
from rtl.attention.greedy.search import GreedySearch
from rtl.config import UnitConfig

from ..data.columns import sort
from ..model.attention import greedy
from ..model.attention.places import beats
from ..model.attention.selection import candidates, kept, selected

__all__ = ["Work", "work"]


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


def work(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
         reused: bool = False) -> Work:
    """Return the work of queries (queries, dim) of a set of keys (keys, dim).

    Masked keys are read and multiplied as others are, unless they are selected against; keys behind
    a causal query's place are not. With ``reused`` it is the work of values that reuse the map of
    these queries and keys.
    """
    if config.select == "greedy":
        return _greedy_work(config, q, k, mask)
    chosen = kept(config, q, k, mask)
    places = np.arange(1, len(q) + 1) if config.causal else len(k)
    seen = np.broadcast_to(np.minimum(places, len(k)), len(q))
    elements, rule = config.dim + config.value_dim, config.predictor_config
    words = 0
    if reused:
        return _reused_work(config, seen, chosen)
    if config.select == "none":
        met = seen
        cycles = np.maximum(-(-met // config.lanes), config.stream_beats)
    else:
        # A query without a key that takes part meets one all the same.
        met = np.maximum(chosen.sum(axis=1), 1)
        words = -(-seen // config.predict_lanes)
        # Queries in work at the same time even out what each of them takes.
        cycles = np.maximum(max(words.mean(), beats(config.lanes, chosen).mean()),
                            config.stream_beats)
    terms = seen * rule.dims if config.select != "none" else 0
    known = config.known_dims
    bits = (met * (elements * config.bits + 1) + words * config.predict_lanes
            * (rule.dims * rule.code_bits + 1))
    if known:
        bits = bits + met * (rule.score_bits - known * config.bits)
    if config.reuse:
        bits = bits + met * config.code_bits + config.division.places[1] + 1
    return _mean_work(
        seen=seen, kept=chosen.sum(axis=1), cycles=cycles,
        multiplications=met * (elements - known) + (terms if known else 0),
        terms=0 if known else terms, table_reads=met + config.reuse, memory_bits=bits)


def _reused_work(config, seen, chosen):
    """Work of values alone: two queries share the cycles, and the values that are read."""
    pairs = [seen[start:start + 2].max() for start in range(0, len(seen), 2)]
    gap = 2 * config.reuse_cycles(1)
    bits = (sum(pairs) * config.value_dim * config.bits / len(seen) + seen * config.code_bits
            + config.division.places[1] + 1)
    return _mean_work(
        seen=seen, kept=chosen.sum(axis=1), cycles=np.maximum(pairs, gap).sum() / len(seen),
        multiplications=seen * config.value_dim, terms=0, table_reads=1, memory_bits=bits)


def _mean_work(**figures):
    return Work(**{name: float(np.mean(values)) for name, values in figures.items()})


def _greedy_work(config, q, k, mask):
    live = np.ones(len(k), bool) if mask is None else ~np.asarray(mask)
    columns = sort(k, ~live)
    found = candidates(config, q, k, mask).sum(axis=1)
    handed, stayed = selected(config, q, k, mask)
    stayed = stayed.sum(axis=1)
    # A query of a set that is masked as a whole meets it all the same, or its first key.
    met = found if live.any() else np.full(len(q), len(k) if config.empty == "all" else 1)
    weighed = np.maximum(stayed, 1)
    taken = greedy.search(columns, q, config.iterations, min_skip=config.min_skip)
    # The ends of the columns, and one element for each product that was taken.
    terms = 2 * config.dim * ColumnMerge.HEAD + taken.products
    element = config.bits + (len(k) - 1).bit_length()
    bits = (met * (config.dim * config.bits + 1) + weighed * config.value_dim * config.bits
            + terms * element)
    cycles = max(GreedySearch.cycles_of(config, len(k)), beats(config.lanes, handed).mean(),
                 config.stream_beats)
    return _mean_work(seen=len(k), kept=stayed, cycles=cycles,
                      multiplications=met * config.dim + weighed * config.value_dim, terms=terms,
                      table_reads=weighed, memory_bits=bits, candidates=found)
