"""The attention engine against its model, emitted and compiled, at core and AXI4-Stream ports.

Each configuration runs all tests of the comparison: bits, cycles, latency, gaps, stalls, resets,
sets that are broken. The seed is that of :func:`sets_of`.
"""

import numpy as np
import pytest

import rtl
from sim.bench.attention import KeySet
from sim.data.synthetic import DATA, quantised
from sim.stimuli.attention import random_sets
from sim.testing.compiled import check

Attention = rtl.unit("attention")

pytestmark = pytest.mark.usefixtures("verilator")

QUICK = [
    (Attention(dim=6, value_dim=10, io_lanes=2, max_keys=13, lanes=3, bits=5, query_scale=0.3,
               causal=True), "axis"),
    (Attention.preset("predict", dim=6, value_dim=3, io_lanes=3, max_keys=27, predict_lanes=4,
                      lanes=3, predictor="prefix", prefix_dims=2, query_scale=0.1,
                      dsp_packing=True), "core"),
    (Attention(reuse=True, dim=6, value_dim=18, io_lanes=6, max_keys=9, maps=4, causal=True,
               value_scale=0.3), "core"),
    (Attention(datapath="online", dim=6, value_dim=8, io_lanes=2, max_keys=23, lanes=3,
               causal=True, query_scale=0.3, output_scale=0.3, dsp_packing=True), "core"),
    (Attention(dim=4, value_dim=2, io_lanes=2, max_keys=13, lanes=3, causal=True,
               scales="run-time", bias="add"), "axis"),
]
SLOW = [
    (Attention(dim=4, io_lanes=2, max_keys=11), "core"),
    (Attention(dim=6, io_lanes=6, max_keys=13, lanes=4, causal=True), "core"),
    (Attention.preset("predict", dim=4, io_lanes=2, max_keys=27, predict_lanes=4, lanes=2),
     "core"),
    (Attention.preset("predict", dim=5, io_lanes=1, max_keys=9, predict_lanes=8, bits=5,
                      predictor="sign", rule="threshold", threshold=1), "core"),
    (Attention(reuse=True, dim=4, value_dim=2, io_lanes=2, max_keys=11), "core"),
    (Attention(datapath="online", dim=4, io_lanes=4, max_keys=11, sink=True, bias="mask"), "core"),
    (Attention(dim=4, io_lanes=4, max_keys=1), "core"),
    (Attention(dim=1, io_lanes=1, max_keys=3, lanes=2, query_scale=1.0), "core"),
    (Attention(dim=9, io_lanes=3, max_keys=20, lanes=7, causal=True, bits=5, query_scale=0.5),
     "core"),
    (Attention(dim=8, io_lanes=2, max_keys=40, lanes=2, bits=4, key_scale=0.5, logit_bits=6,
               logit_scale=0.25, weight_bits=12, out_bits=12, output_scale=2.0 ** -9,
               softmax="softmax-e2:plus,code_bits=8", memory="block"), "core"),
    (Attention(dim=3, io_lanes=3, max_keys=1, logit_bits=6, logit_scale=0.3), "core"),
    (Attention(dim=5, io_lanes=1, max_keys=9, lanes=4, query_scale=0.1, output_scale=0.03),
     "axis"),
    (Attention.preset("predict", dim=3, io_lanes=3, max_keys=13, predict_lanes=2, causal=True,
                      predictor="4-bit", mean_shift=0, softmax="softmax-e2:paper"), "core"),
    (Attention.preset("predict", dim=4, io_lanes=4, max_keys=27, predict_lanes=4, rule="top-k",
                      top_k=5), "core"),
    (Attention.preset("predict", dim=3, io_lanes=1, max_keys=13, predict_lanes=2, causal=True,
                      lanes=4, predictor="sign", rule="top-k", top_k=3), "core"),
    (Attention.preset("predict", dim=11, io_lanes=1, max_keys=21, predict_lanes=4,
                      predictor="leading-one", mean_shift=1), "core"),
    (Attention.preset("predict", dim=9, io_lanes=9, max_keys=13, predict_lanes=1, causal=True,
                      predictor="prefix", prefix_dims=8, rule="top-k", top_k=3, bits=6), "core"),
    (Attention.preset("predict", dim=10, io_lanes=2, max_keys=70, predict_lanes=2, memory="block",
                      predictor="prefix", prefix_dims=1, rule="threshold", threshold=9), "core"),
    (Attention.preset("conservative", dim=4, io_lanes=2, max_keys=27, scan_lanes=4, bits=6),
     "core"),
    (Attention.preset("aggressive", dim=4, value_dim=6, io_lanes=2, max_keys=21, bits=6,
                      scan_lanes=8, lanes=4, sort="host"), "axis"),
    (Attention(reuse=True, dim=5, io_lanes=1, max_keys=5, maps=2, map_queries=3, code_bits=4,
               query_scale=0.1, out_bits=12), "core"),
    (Attention(reuse=True, dim=1, io_lanes=1, max_keys=1, bits=4, logit_bits=6), "core"),
    (Attention(reuse=True, dim=9, io_lanes=3, max_keys=70, map_queries=4, code_bits=12,
               causal=True, logit_scale=0.25, memory="block"), "core"),
    (Attention(datapath="online", dim=5, io_lanes=1, max_keys=40, lanes=8, logit_bits=16,
               logit_scale=2.0 ** -9, term_bits=16, guard_bits=2, out_bits=12,
               output_scale=2.0 ** -8), "axis"),
    (Attention.preset("predict", datapath="online", dim=4, io_lanes=4, max_keys=27, lanes=3,
                      predict_lanes=4), "core"),
    # What takes long to emit, to build or to ask the model for.
    (Attention(dim=512, value_dim=8, max_keys=5), "core"),
    (Attention(dim=64, max_keys=40), "core"),
    (Attention(dim=16, io_lanes=16, max_keys=70, lanes=1, bits=4, query_scale=0.5,
               softmax="softmax-e2:paper", causal=True), "core"),
    (Attention(dim=10, io_lanes=5, max_keys=33, lanes=16, out_bits=12, dsp_packing=True),
     "axis"),
    (Attention.preset("predict", dim=16, max_keys=40, causal=True, memory="block"), "axis"),
    (Attention.preset("predict", dim=5, io_lanes=5, max_keys=9, predict_lanes=1,
                      predictor="4-bit", rule="threshold", bits=6), "core"),
    (Attention.preset("predict", dim=12, io_lanes=4, max_keys=37, predict_lanes=4,
                      predictor="prefix", prefix_dims=5, rule="top-k", top_k=7), "axis"),
    (Attention.preset("predict", dim=8, max_keys=300, predictor="prefix", prefix_dims=2,
                      query_scale=0.3), "core"),
    (Attention.preset("conservative", dim=5, io_lanes=5, max_keys=13, bits=4, start_lanes=1,
                      scan_lanes=2, empty="first", min_skip=False, memory="distributed",
                      iterations_per_key=5.0, percent=0.1), "core"),
    (Attention.preset("conservative", dim=12, io_lanes=4, max_keys=300, memory="block",
                      empty="first", sort="host"), "core"),
    (Attention.preset("aggressive", dim=6, io_lanes=6, max_keys=40, bits=5, empty="first",
                      lanes=3, memory="block"), "core"),
    (Attention(reuse=True, dim=16, max_keys=40, causal=True, maps=4, map_queries=5), "axis"),
]


def sets_of(config, seed=1):
    """Random sets, of them two of the least and the most keys, and of one key for the latency."""
    return random_sets(config, np.random.default_rng(seed), 16)


def cases():
    for configs, marks in (QUICK, []), (SLOW, [pytest.mark.slow]):
        for config, ports in configs:
            yield pytest.param(config, ports, id=f"{config.name}-{ports}", marks=marks)


@pytest.mark.parametrize("config, ports", [*cases()])
def test_equals_model(config, ports):
    assert len(check(config, sets_of(config), ports, seed=1)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("preset, keys", [("aggressive", 320), ("conservative", 50)])
def test_search_in_structured_data(preset, keys):
    """Sets of real vectors, from flat to peaked, some of them shorter, some with masked keys."""
    random = np.random.default_rng(2)
    config = Attention.preset(preset, max_keys=keys)
    sets = []
    for number, make in enumerate(DATA.values()):
        q, k, v = quantised(config, *make(random, 5, keys - 17 * number % keys // 2, 64, 3))
        q[number] = 0
        mask = random.random(len(k)) < (0, 0.2)[number % 2]
        sets.append(KeySet(q, k, v, mask))
    results = check(config, sets, seed=2, tests=["sets_back_to_back", "sets_with_gaps_and_stalls"])
    assert all(result.outputs == 5 * 5 * 64 for result in results)
