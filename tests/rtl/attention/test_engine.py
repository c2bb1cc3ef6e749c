"""The attention engine in Amaranth's simulator: every softmax, cycles, and planted faults.

:mod:`test_compiled` compares it with its model at many configurations.
"""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl.attention.engine import Attention as Engine
from sim.model.attention import selection as attention_model
from sim.model.attention.places import beats
from sim.testing.attention import Set, directed, expected, random_set, run_sets

Attention = rtl.unit("attention")


# One of each predictor and rule, and the widths that matter to the ports.
CONFIGS = [
    Attention(dim=4, io_lanes=2, max_keys=11),
    Attention(dim=9, io_lanes=3, max_keys=20, lanes=7, causal=True, bits=5, query_scale=0.5),
    Attention(dim=8, io_lanes=2, max_keys=40, lanes=2, bits=4, key_scale=0.5, logit_bits=6,
              logit_scale=0.25, weight_bits=12, out_bits=12, output_scale=2.0 ** -9,
              softmax="softmax-e2:plus,code_bits=8", memory="block"),
    Attention.preset("predict", dim=5, io_lanes=1, max_keys=9, predict_lanes=8, bits=5,
                     predictor="sign", rule="threshold", threshold=1),
    Attention.preset("predict", dim=9, io_lanes=9, max_keys=13, predict_lanes=1, causal=True,
                     predictor="prefix", prefix_dims=8, rule="top-k", top_k=3, bits=6),
    Attention.preset("conservative", dim=4, io_lanes=2, max_keys=27, scan_lanes=4, bits=6),
]


# Exactness --------------------------------------------------------------------------------------

@pytest.mark.parametrize("unit", [name for name in rtl.units() if name.startswith("softmax-")])
def test_every_softmax(unit):
    config = Attention(dim=4, io_lanes=4, max_keys=9, lanes=2, softmax=unit)
    rng = np.random.default_rng(2)
    sets = [random_set(config, rng) for _ in range(5)]
    outputs, _ = run_sets(config.create(), sets, stalls=0.2)
    assert outputs == expected(config, sets)


@pytest.mark.parametrize("parameters", [
    {}, {"lanes": 3}, {"lanes": 2, "causal": True}, {"select": "predict"},
    {"datapath": "online"}, {"datapath": "online", "lanes": 3, "term_bits": 8},
    {"select": "predict", "rule": "top-k", "top_k": 3, "predict_lanes": 2}])
def test_directed(parameters):
    config = Attention(dim=4, io_lanes=2, max_keys=7, **parameters)
    names, sets = zip(*directed(), strict=True)
    outputs, _ = run_sets(config.create(), sets)
    assert dict(zip(names, outputs, strict=True)) == \
        dict(zip(names, expected(config, sets), strict=True))


# Cycles -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters", [
    {"dim": 4, "io_lanes": 4}, {"dim": 8, "io_lanes": 2, "lanes": 4},
    {"dim": 6, "io_lanes": 2, "lanes": 3, "query_scale": 0.3, "output_scale": 0.3},
    {"dim": 8, "io_lanes": 2, "lanes": 4, "datapath": "online"}])
def test_no_bubble_between_queries(parameters):
    config = Attention(max_keys=40, **parameters)
    rng, counts = np.random.default_rng(4), (40, 17, 3, 1)
    sets = [random_set(config, rng, keys, queries=20) for keys in counts]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == expected(config, sets)
    ends = cycles["o"][config.vector_beats - 1::config.vector_beats].reshape(-1, 20)
    assert np.diff(ends).tolist() == [[config.query_cycles(keys)] * 19 for keys in counts]


def test_no_bubble_between_sets():
    """Sets are loaded while the queries of the set before run."""
    config = Attention(dim=4, io_lanes=4, max_keys=16)
    rng = np.random.default_rng(5)
    sets = [random_set(config, rng, keys=16, queries=4) for _ in range(5)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == expected(config, sets)
    assert np.diff(cycles["o"]).tolist() == [16] * 19


def test_causal_queries_take_the_cycles_of_the_keys_that_they_see():
    config = Attention(dim=4, io_lanes=4, max_keys=30, lanes=2, causal=True)
    one = random_set(config, np.random.default_rng(6), keys=30, queries=30)
    _, cycles = run_sets(config.create(), [one])
    beats = -(-np.arange(1, 31) // 2)
    # A row comes and goes in as many cycles as it has beats, and goes after it came.
    assert np.diff(cycles["o"]).tolist() == (beats[1:] + np.diff(beats)).tolist()


@pytest.mark.parametrize("predictor", ["octave", "leading-one", "4-bit", "sign", "prefix"])
def test_predicted_queries_take_the_cycles_of_what_they_keep(predictor):
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              predictor=predictor, prefix_dims=3)
    random = np.random.default_rng(9)
    one = Set(*(random.integers(-127, 128, (n, 4)) for n in (24, 40, 40)))
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    kept = attention_model.kept(config, one.q, one.k).sum(axis=1)
    assert 1 < kept.mean() < 20
    # On average; which queries wait for which depends on the order.
    ends = cycles["o"]
    average = (ends[-1] - ends[3]) / (len(ends) - 4)
    assert average <= config.query_cycles(40, kept[4:].mean()) + kept.max() / 20


def test_lanes_take_the_beats_of_what_they_keep():
    """To the cycle: a query takes as many as the lane that keeps most of its keys."""
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=8, lanes=3,
                              rule="top-k", top_k=30, predictor="sign")
    random = np.random.default_rng(3)
    one = Set(*(random.integers(-127, 128, (n, 4)) for n in (12, 40, 40)))
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    taken = beats(3, attention_model.kept(config, one.q, one.k))
    assert 10 < taken.mean() < 40 / 3 and len(set(taken.tolist())) > 1
    # A row comes and goes in as many cycles as it has beats, and goes after it came.
    rows = np.cumsum(taken)
    assert (cycles["o"][1:] - cycles["o"][0]).tolist() == (
        rows[1:] - rows[0] + np.maximum.accumulate(taken)[1:] - taken[0]).tolist()
    assert config.query_cycles(40, taken.mean()) == taken.mean()


@pytest.mark.parametrize("top_k", [
    1, 10, *(pytest.param(top_k, marks=pytest.mark.slow) for top_k in (9, 33, 40))])
def test_top_k_sets_the_pace(top_k):
    """A query takes the cycles of the keys that it keeps, or of all in words: no bubble.

    A key waits for its query's last one, so that their ends differ by some words from that.
    """
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              rule="top-k", top_k=top_k)
    random = np.random.default_rng(top_k)
    one = Set(*(random.integers(-127, 128, (n, 4)) for n in (40, 40, 40)))
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    late = cycles["o"] - max(top_k, 10) * np.arange(40)
    assert late.max() - late.min() <= 10
    if top_k > 10 or top_k == 1:
        assert late.max() == late.min()


def test_one_kept_key_per_query():
    """The prediction sets the pace, one word of keys per cycle, if it keeps few."""
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              rule="threshold", threshold=0)
    random = np.random.default_rng(10)
    q, k, v = (random.integers(-20, 20, (n, 4)) for n in (16, 40, 40))
    k[7], q = 127, np.abs(q) + 64
    outputs, cycles = run_sets(config.create(), [Set(q, k, v)])
    assert outputs == expected(config, [Set(q, k, v)])
    assert (attention_model.kept(config, q, k).sum(axis=1) == 1).all()
    assert np.diff(cycles["o"]).tolist() == [10] * 15


# The configured thing was built -----------------------------------------------------------------

@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_ports_have_the_widths_of_the_configuration(config):
    dut = config.create()
    lanes = config.io_lanes
    widths = {port: len(getattr(dut, port).payload.as_value()) for port in tuple(config.streams)}
    assert widths == {"q": lanes * config.bits + 1, "k": lanes * config.bits + 2,
                      "v": lanes * config.bits + 1, "o": lanes * config.out_bits + 2}


# Faults in the hardware that the comparison with the model has to find --------------------------

def faults():
    config = CONFIGS[0]
    yield {"logit": dataclasses.replace(config.logit, shift=config.logit.shift + 1)}
    yield {"output": dataclasses.replace(config.output, shift=config.output.shift + 1)}
    yield {"sum_range": (-(1 << 10), (1 << 10) - 1)}
    yield {"dot_range": (-(1 << 10), (1 << 10) - 1)}
    yield {"causal": True}


@pytest.mark.parametrize("fault", [*faults()], ids=lambda fault: next(iter(fault)))
def test_fault_is_found(fault):
    config = CONFIGS[0]
    rng = np.random.default_rng(8)
    sets = [random_set(config, rng) for _ in range(6)]

    class Faulty:
        """The configuration, with something else in it."""

        def __getattr__(self, name):
            return fault[name] if name in fault else getattr(config, name)

    outputs, _ = run_sets(Engine(Faulty()), sets)
    assert outputs != expected(config, sets)
