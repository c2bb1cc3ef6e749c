"""Sets of queries, keys and values that attention engines are tested with."""

import dataclasses

import numpy as np

from .. import model
from ..bench.attention import KeySet
from ..data.synthetic import integers
from ..model.attention.reuse import AttentionMap

__all__ = ["make_set", "make_sets"]


def make_set(config, random, keys=None):
    keys = keys or int(random.integers(1, config.max_keys + 1))
    q, k, v = integers(config, random, int(random.integers(1, 9)), keys)
    mask = random.random(keys) < random.choice([0, 0, 0.3, 1.0])
    return KeySet(q, k, v, mask, model.run(config, q, k, v, mask=mask))


def make_sets(config, random):
    sets = [make_set(config, random, keys) for keys in (None, 1, config.max_keys)]
    sets += [make_set(config, random) for _ in range(9)]
    return with_reuse(config, random, sets) if config.reuse else sets


def with_reuse(config, random, leaders):
    """The sets, each behind the third followed by values that reuse the map of one of the last."""
    sets, stored = [], {}
    for place, leader in enumerate(leaders):
        number, tag = int(random.integers(config.maps)), int(random.integers(256))
        # A map has so many rows at most.
        leader = dataclasses.replace(leader, q=leader.q[:config.map_rows],
                                     y=leader.y[:config.map_rows], use=of_use(config, number, tag))
        sets.append(leader)
        stored[number] = leader, tag
        for _ in range(int(random.integers(3)) if place > 1 else 0):
            number = int(random.choice(list(stored)))
            one, tag = stored[number]
            v = random.integers(*config.element_range, one.v.shape)
            y = AttentionMap.of(config, one.q, one.k, one.mask).run(config, v)
            sets.append(KeySet(v[:0], v[:0], v, np.zeros(0, bool), y,
                               1 | of_use(config, number, tag)))
    return sets


def of_use(config, number, tag):
    return number << 1 | tag << config.maps.bit_length()
