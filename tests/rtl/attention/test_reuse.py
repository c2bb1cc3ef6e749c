"""Attention maps that are kept and used again."""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl.attention.engine import Attention as Engine
from sim import metrics, model, reference
from sim.data import synthetic
from sim.model.attention.reuse import AttentionMap
from sim.model.attention.selection import kept
from sim.testing.attention import (
    Leader,
    Reuser,
    random_set,
    random_sets,
    run_sets,
    values,
)
from sim.testing.refusal import refused

Attention = rtl.unit("attention")


CONFIGS = [
    Attention(reuse=True, dim=4, io_lanes=2, max_keys=11),
    Attention(reuse=True, dim=6, io_lanes=6, max_keys=9, maps=4, causal=True, value_scale=0.3),
    Attention(reuse=True, dim=5, io_lanes=1, max_keys=5, maps=2, map_queries=3, code_bits=4,
              query_scale=0.1, out_bits=12),
    Attention(reuse=True, dim=1, io_lanes=1, max_keys=1, bits=4, logit_bits=6),
    Attention(reuse=True, dim=9, io_lanes=3, max_keys=70, map_queries=4, code_bits=12,
              causal=True, logit_scale=0.25, memory="block"),
]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def config(request):
    return request.param


# Exactness

def test_reuse_is_the_leader_to_the_bit(config):
    """Values of the leader once more, by its map: the same outputs."""
    rng = np.random.default_rng(2)
    one = random_set(config, rng, keys=config.max_keys, queries=config.map_rows)
    leader = Leader(config, one)
    outputs, _ = run_sets(config.create(), [leader, Reuser(config, one.v, leader)])
    assert outputs[0] == outputs[1] == one.expected(config)


def test_documented_equations():
    """The model against the equations, one number at a time."""
    config = Attention(reuse=True, dim=3, io_lanes=3, max_keys=9, causal=True, value_scale=0.2)
    rng = np.random.default_rng(3)
    table = config.softmax_config.codes
    for _ in range(5):
        q, k, v = synthetic.integers(config, rng, 5, 7)
        mask = rng.random(7) < 0.3
        for place, row in enumerate(model.run(config, q, k, v, mask=mask).tolist()):
            live = [i for i in range(7) if not mask[i] and i <= place]
            logits = {i: config.logit(sum(a * b for a, b in zip(
                q[place].tolist(), k[i].tolist(), strict=True))) for i in live}
            top = max(logits.values(), default=0)
            codes = {i: table[top - x] if top - x < len(table) else 0 for i, x in logits.items()}
            total = sum(codes.values())
            assert row == [config.division(sum(c * int(v[i, j]) for i, c in codes.items()), total)
                           for j in range(3)]


@pytest.mark.parametrize("name, beta, relative", [
    ("random", 1, 0.05), ("random", 4, 0.07), ("cluster", 2, 0.03), ("needle", 4, 0.04)])
def test_error(name, beta, relative):
    """Flat attention, too: codes are relative to the row's largest."""
    q, k, v = synthetic.DATA[name](np.random.default_rng(5), 64, 320, 64, beta)
    config = synthetic.fitted(q, k, v, reuse=True)
    outputs = model.run(config, *synthetic.quantised(config, q, k, v))
    found = metrics.attention_errors(reference.attention(q, k, v), outputs * config.output_scale)
    assert found.relative < relative


def test_wrong_values():
    config = CONFIGS[0]
    one = AttentionMap.of(config, np.zeros((2, 4), int), np.zeros((3, 4), int))
    with pytest.raises(ValueError, match=r"shape \(3, 4\) of the map, not \(2, 4\)"):
        one.run(config, np.zeros((2, 4), int))


# Maps that are refused

@pytest.mark.parametrize("maps, number", [(1, 0), (4, 2)])
@pytest.mark.parametrize("way", ["nothing stored", "other keys", "fewer keys", "other tag",
                                 "too many queries", "uneven", "other map"])
def test_refused(way, maps, number):
    if way == "other map" and maps == 1:
        return
    config = Attention(reuse=True, dim=4, io_lanes=2, max_keys=9, map_queries=4, maps=maps)
    rng = np.random.default_rng(4)
    one = random_set(config, rng, keys=6, queries=5 if way == "too many queries" else 4)
    leader = Leader(config, one, number, tag=3)
    good = Leader(config, random_set(config, rng, keys=5, queries=3), number, tag=9)
    after = [good, Reuser(config, values(config, rng, 5), good, number, tag=9)]
    if way == "uneven":
        leader.v = leader.v[:5]
    keys = {"other keys": 7, "fewer keys": 5, "uneven": 6}.get(way, 6)
    bad = Reuser(config, values(config, rng, keys), None,
                 (number + 1) % maps if way == "other map" else number,
                 tag=4 if way == "other tag" else 3)
    sets = ([] if way == "nothing stored" else [leader]) + [bad, *after]
    outputs, cycles = run_sets(config.create(), sets)
    assert cycles["error"]
    # A leading set whose values are too few has outputs, which are wrong.
    skip = way == "uneven"
    assert len(outputs) == len(sets)
    assert outputs[skip:] == [s.expected(config) for s in sets[skip:]]


def test_map_survives_a_refusal():
    config = CONFIGS[0]
    rng = np.random.default_rng(5)
    leader = Leader(config, random_set(config, rng, keys=6, queries=5), tag=7)
    sets = [leader, Reuser(config, values(config, rng, 6), None, tag=8),
            Reuser(config, values(config, rng, 6), leader, tag=7)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == [s.expected(config) for s in sets] and cycles["error"]


def test_new_map_takes_the_place_of_the_old_one():
    config = CONFIGS[0]
    rng = np.random.default_rng(6)
    old, new = (Leader(config, random_set(config, rng, keys=n, queries=5), tag=n) for n in (6, 8))
    sets = [old, new, Reuser(config, values(config, rng, 6), None, tag=6),
            Reuser(config, values(config, rng, 8), new, tag=8)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == [s.expected(config) for s in sets] and cycles["error"]


# Cycles

@pytest.mark.slow
@pytest.mark.parametrize("parameters", [
    {"dim": 4, "io_lanes": 4}, {"dim": 8, "io_lanes": 2}, {"dim": 6, "io_lanes": 1}])
def test_two_queries_at_a_time(parameters):
    config = Attention(reuse=True, max_keys=40, map_queries=20, maps=4, **parameters)
    rng, counts = np.random.default_rng(7), (40, 7, 1)
    leaders = [Leader(config, random_set(config, rng, keys=keys, queries=20), number)
               for number, keys in enumerate(counts)]
    sets = leaders + [Reuser(config, values(config, rng, keys), leaders[number], number)
                      for number, keys in enumerate(counts)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == [s.expected(config) for s in sets]
    ends = cycles["o"][config.vector_beats - 1::config.vector_beats].reshape(-1, 20)
    assert np.diff(ends[:3]).tolist() == [[config.query_cycles(keys)] * 19 for keys in counts]
    assert np.diff(ends[3:, ::2]).tolist() == [[2 * config.reuse_cycles(keys)] * 9
                                               for keys in counts]


def test_causal_map_takes_the_cycles_of_its_rows():
    config = Attention(reuse=True, dim=4, io_lanes=4, max_keys=30, causal=True)
    rng = np.random.default_rng(8)
    leader = Leader(config, random_set(config, rng, keys=30, queries=30))
    sets = [leader, Reuser(config, values(config, rng, 30), leader)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == [s.expected(config) for s in sets]
    pairs = np.diff(cycles["o"][30::2])
    assert pairs.tolist() == [max(n, 2 * config.reuse_cycles(1)) for n in range(4, 31, 2)]


# Faults in the hardware that the comparison has to find

@pytest.mark.parametrize("fault", ["division", "map_rows", "causal", "sum_range"])
def test_fault_is_found(fault):
    config = CONFIGS[0]
    rng = np.random.default_rng(10)
    sets = random_sets(config, rng)
    wrong = {"division": dataclasses.replace(config.division, ratio=config.division.ratio * 2),
             "map_rows": 2, "causal": True, "sum_range": (-(1 << 9), (1 << 9) - 1)}[fault]

    class Faulty:
        """The configuration, with something else in it."""

        def __getattr__(self, name):
            return wrong if name == fault else getattr(config, name)

    dut = Engine(Faulty())
    try:
        outputs, cycles = run_sets(dut, sets)
    except AssertionError as error:
        # Outputs that are refused are missing.
        assert "hangs" in str(error)
        return
    assert outputs != [s.expected(config) for s in sets] or cycles["error"]


# Configuration

@pytest.mark.parametrize("parameters, message", [
    ({"lanes": 2}, "Parameter lanes must be 1 for reuse, not 2"),
    ({"select": "predict"}, "Parameter select must be none for reuse, not 'predict'"),
    ({"maps": 3}, "Parameter maps must be one of 1, 2, 4, 8, 16, 32, 64, not 3"),
    ({"code_bits": 13}, "Parameter code_bits must be an integer in 4..12, not 13"),
    ({"output_scale": 2.0 ** 21},
     "Parameter output_scale must be 2^-16 to 2^24 times value_scale for reuse, not 2097152.0"),
])
def test_wrong_parameter(parameters, message):
    with refused(message):
        Attention(reuse=True, **parameters)


def test_softmax_is_without_division():
    config = Attention(reuse=True, code_bits=9, logit_bits=7, logit_scale=0.25, max_keys=33)
    unit = config.softmax_config
    assert (unit.bits, unit.input_scale, unit.out_bits, unit.lanes, unit.max_length) == (
        7, 0.25, 9, 1, 33)
    assert config.map_rows == 33 and Attention(reuse=True, map_queries=5).map_rows == 5
    assert kept(config, *np.zeros((2, 3, 64), int)).all()
