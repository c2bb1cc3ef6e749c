"""What an attention engine's queries take: keys that they meet, and cycles."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..model.attention.places import beats
from ..model.attention.selection import candidates, kept
from .engine_place import EnginePlace
from .mask import live_queries
from .place import EngineInputs

__all__ = ["Pace", "pace"]


@dataclasses.dataclass(frozen=True)
class Pace:
    """Means over the queries of an attention.

    Attributes
    ----------
    seen : float
        Keys that the mask leaves a query.
    met : float
        Keys that its logits are computed of: those that a selection leaves.
    cycles : float
        Cycles from a query to the next one in a full engine, ``config.query_cycles``.
    queries : int
        Queries of all heads.
    """

    seen: float
    met: float
    cycles: float
    queries: int


def pace(place: EnginePlace, inputs: EngineInputs) -> Pace:
    """Return what the queries of a batch take; padding is no key, and its query none.

    Parameters
    ----------
    place : EnginePlace
        Attention with at least one engine.
    inputs : EngineInputs
        What it was given.
    """
    shape, config = inputs.logits.shape, place.configs[0]
    batches, heads = shape[:2]
    dead = np.zeros(shape, bool) if inputs.dead is None else \
        inputs.dead.expand(shape).numpy()
    q, k = (place.codes(x, name).numpy() for x, name in ((inputs.query, "query_scale"),
                                                         (inputs.key, "key_scale")))
    chosen = np.concatenate([
        _met(place.configs[head if len(place.configs) > 1 else 0], q[:, [head]], k[:, [head]],
             dead[:, [head]]) for head in range(heads)], axis=1)
    met, taken = chosen.sum(axis=-1), beats(config.lanes, chosen)
    seen = (~dead).sum(axis=-1)
    live = live_queries(inputs.dead, shape).expand(shape[:-1]).numpy()
    cycles = 0.0
    for at in np.ndindex(batches, heads):
        some = seen[at][live[at]]
        if not len(some):
            continue
        if config.select == "none":
            cycles += sum(config.query_cycles(int(keys)) for keys in some)
        else:
            # Queries in work at the same time even out what each of them takes.
            cycles += len(some) * config.query_cycles(
                math.ceil(some.mean()), taken[at][live[at]].mean())
    queries = int(live.sum())
    part = max(queries, 1)
    return Pace(float(seen[live].sum()) / part, float(met[live].sum()) / part, cycles / part,
                queries)


def _met(config, q, k, dead):
    """Keys (batch, 1, queries, keys) whose logits are computed."""
    if config.select == "none":
        return ~dead
    masked = dead.all(axis=-2)
    if config.select == "greedy":
        return candidates(config, q, k, masked)
    start = k.shape[-2] - q.shape[-2] if config.causal else 0
    return kept(config, q, k, masked, start=start)
