"""Whole sets side by side are as each alone, by commands."""

import dataclasses

import numpy as np
import pytest

from rtl import unit
from rtl.attention.sink import Sink
from rtl.fixed import Scaling
from sim.model.attention import prefill, run
from sim.model.attention.resident import Append, Head, Query, ResidentSets


@pytest.mark.parametrize("lanes, values", [
    (1, {"window": 5, "max_keys": 5}), (4, {"window": 6, "max_keys": 12}),
    (4, {"window": 6, "sinks": 3, "max_keys": 16}), (4, {"max_keys": 24, "sink": True}),
    (2, {"causal": False, "max_keys": 24}),
    (4, {"window": 6, "max_keys": 12, "datapath": "online", "sink": True})])
def test_sets_side_by_side(lanes, values, monkeypatch):
    config = unit("attention")(store="resident", lanes=lanes, dim=4, io_lanes=4,
                               **{"causal": True, "scales": "run-time", "heads": 2, **values})
    monkeypatch.setattr(prefill, "CHUNK", 150)
    random = np.random.default_rng(lanes)
    q, k, v = (random.integers(-128, 128, (3, 2, tokens, 4)) for tokens in (19, 23, 23))
    mask = random.random((3, 2, 23)) < 0.3
    # In one pass the sums are divided by those of the weights.
    shift = 15 if config.datapath == "online" else 26
    heads = [Head(Scaling(40000 + head, 23, head), Scaling(50000 - head, shift),
                  Sink(50 - 40 * head, head == 0) if config.sink else None) for head in range(2)]
    found = prefill.prefill(config, q, k, v, mask, start=4, heads=heads)
    regions = dataclasses.replace(config.regions, sets=1, capacity=config.regions.sink_keys + 24)
    for place in np.ndindex(3, 2):
        sets = ResidentSets(config, regions, [heads[place[1]]])
        sets.execute(Append(0, k[place], v[place], mask[place]))
        sets.execute(Query(0, q[place], 4))
        assert found[place].tolist() == sets.answers[0].y.tolist()
    assert len(np.unique(found)) > 50


def test_a_ring_takes_more_keys_than_it_holds():
    """The window of the last queries, whatever came before."""
    config = unit("attention")(store="resident", lanes=2, dim=4, io_lanes=4, causal=True,
                               window=4, max_keys=6)
    random = np.random.default_rng(0)
    q, k, v = (random.integers(-128, 128, (40, 4)) for _ in range(3))
    whole = run(config, q, k, v)
    assert whole[30:].tolist() == run(config, q[30:], k[20:], v[20:], start=10).tolist()
