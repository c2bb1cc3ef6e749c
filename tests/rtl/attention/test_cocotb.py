"""The attention engine against its model, emitted and simulated: core and AXI4-Stream ports."""

import numpy as np
import pytest

import rtl
from sim import runner
from sim.bench.attention import KeySet
from sim.data.synthetic import DATA, quantised
from sim.jobs import make_job
from sim.stimuli.attention import random_sets

Attention = rtl.unit("attention")

FAST = [
    (Attention(dim=8, io_lanes=4, max_keys=21, lanes=2), "core"),
    (Attention(dim=6, io_lanes=2, max_keys=13, lanes=3, bits=5, query_scale=0.3, causal=True),
     "axis"),
    (Attention.preset("predict", dim=6, io_lanes=3, max_keys=27, predict_lanes=4), "core"),
    (Attention.preset("predict", dim=4, io_lanes=2, max_keys=21, predict_lanes=4, rule="top-k",
                      top_k=5), "core"),
    (Attention.preset("conservative", dim=6, io_lanes=2, max_keys=27, bits=5, scan_lanes=4,
                      query_scale=0.3), "core"),
    (Attention.preset("aggressive", dim=4, io_lanes=2, max_keys=21, bits=6, scan_lanes=8,
                      sort="host"), "axis"),
    (Attention(reuse=True, dim=6, io_lanes=3, max_keys=13, maps=2), "core"),
]
SLOW = [
    (Attention(dim=64, max_keys=40), "core"),
    (Attention(dim=5, io_lanes=1, max_keys=9, lanes=4, output_scale=0.03), "axis"),
    (Attention.preset("predict", dim=16, max_keys=40, causal=True, memory="block"), "axis"),
    (Attention.preset("predict", dim=5, io_lanes=5, max_keys=9, predict_lanes=1,
                      predictor="4-bit", rule="threshold", bits=6), "core"),
    (Attention.preset("predict", dim=8, max_keys=70, rule="top-k", top_k=9, memory="block",
                      causal=True), "axis"),
    (Attention.preset("predict", dim=12, io_lanes=4, max_keys=37, predict_lanes=4,
                      predictor="prefix", prefix_dims=5, rule="top-k", top_k=7), "axis"),
    (Attention.preset("predict", dim=8, max_keys=300, predictor="prefix", prefix_dims=2,
                      query_scale=0.3), "core"),
    (Attention.preset("aggressive", dim=16, io_lanes=8, max_keys=40, bits=6), "axis"),
    (Attention.preset("conservative", dim=5, io_lanes=5, max_keys=13, bits=4, start_lanes=1,
                      scan_lanes=2, empty="first", min_skip=False, memory="distributed",
                      iterations_per_key=5.0), "core"),
    (Attention.preset("conservative", dim=12, io_lanes=4, max_keys=300, memory="block",
                      empty="first", sort="host"), "core"),
    (Attention(reuse=True, dim=16, max_keys=40, causal=True, maps=4, map_queries=5), "axis"),
    (Attention(reuse=True, dim=5, io_lanes=1, max_keys=60, bits=6, code_bits=10, value_scale=0.3,
               out_bits=12, memory="block"), "core"),
    (Attention(dim=3, io_lanes=3, max_keys=1, logit_bits=6, logit_scale=0.3), "core"),
    (Attention(dim=16, io_lanes=16, max_keys=70, lanes=1, bits=4, query_scale=0.5,
               softmax="softmax-e2:paper", causal=True), "core"),
    (Attention(dim=10, io_lanes=5, max_keys=33, lanes=16, out_bits=12), "axis"),
]


def cases():
    for speed, configs in ("fast", FAST), ("slow", SLOW):
        for simulator in runner.SIMULATORS:
            for config, ports in configs:
                # Verilator takes long to build.
                slow = speed == "slow" or simulator != "icarus"
                yield pytest.param(config, ports, simulator,
                                   id=f"{simulator}-{config.name}-{ports}",
                                   marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("config, ports, simulator", [*cases()])
def test_equals_model(config, ports, simulator, tmp_path, store, require_simulator):
    require_simulator(simulator)
    random = np.random.default_rng(1)
    design = runner.Design.of(config, ports)
    job = make_job(design, random_sets(config, random), 1)
    simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
    results = simulation.run(job)
    assert [f"{result.test}: {result.failure}" for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0
    assert len(results) == 8 and all(result.outputs for result in results
                                     if not result.test.startswith("latency"))


@pytest.mark.slow
@pytest.mark.parametrize("simulator, preset, keys", [("verilator", "aggressive", 320),
                                                     ("icarus", "conservative", 50)])
def test_search_in_structured_data(simulator, preset, keys, tmp_path, store, require_simulator):
    """Sets of real vectors, from flat to peaked, some of them shorter, some with masked keys."""
    require_simulator(simulator)
    random = np.random.default_rng(2)
    config = Attention.preset(preset, max_keys=keys)
    sets = []
    for number, make in enumerate(DATA.values()):
        q, k, v = quantised(config, *make(random, 5, keys - 17 * number % keys // 2, 64, 3))
        q[number] = 0
        mask = random.random(len(k)) < (0, 0.2)[number % 2]
        sets.append(KeySet(q, k, v, mask))
    design = runner.Design.of(config)
    simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
    results = simulation.run(make_job(design, sets, 2),
                             ["sets_back_to_back", "sets_with_gaps_and_stalls"])
    assert [f"{result.test}: {result.failure}" for result in results if result.failure] == []
    assert len(results) == 2 and all(result.outputs == 5 * 5 * 64 for result in results)
