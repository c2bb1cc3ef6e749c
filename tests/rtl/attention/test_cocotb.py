"""The attention engines in cocotb, for X in Icarus and for the bench in Verilator, at both ports.

:mod:`test_compiled` has the many configurations.
"""

import numpy as np
import pytest

import rtl
from sim import runner
from sim.jobs import make_job
from sim.stimuli.attention import random_sets

Attention = rtl.unit("attention")

DENSE = Attention(dim=6, value_dim=4, io_lanes=2, max_keys=13, lanes=3, bits=5, query_scale=0.3,
                  causal=True, bias="add")
PREDICT = Attention.preset("predict", dim=4, io_lanes=2, max_keys=13, predict_lanes=4,
                           rule="top-k", top_k=5)
GREEDY = Attention.preset("conservative", dim=4, io_lanes=2, max_keys=13, bits=4, scan_lanes=4)
HOST = Attention.preset("aggressive", dim=4, io_lanes=2, max_keys=13, bits=6, scan_lanes=8,
                        sort="host")
ONLINE = Attention(datapath="online", dim=6, io_lanes=2, max_keys=13, lanes=3, logit_scale=0.25,
                   scales="run-time")
REUSE = Attention(reuse=True, dim=6, io_lanes=3, max_keys=13, maps=2)

CASES = [(DENSE, "axis", "icarus"), (PREDICT, "core", "icarus"), (GREEDY, "core", "icarus"),
         (HOST, "axis", "icarus"), (REUSE, "core", "icarus"), (ONLINE, "core", "icarus"),
         (DENSE, "core", "verilator"), (ONLINE, "axis", "verilator"),
         (REUSE, "axis", "verilator")]


def cases():
    for config, ports, simulator in CASES:
        yield pytest.param(config, ports, simulator, id=f"{simulator}-{config.name}-{ports}")


@pytest.mark.slow
@pytest.mark.parametrize("config, ports, simulator", [*cases()])
def test_equals_model(config, ports, simulator, tmp_path, store, require_simulator):
    require_simulator(simulator)
    design = runner.Design.of(config, ports)
    job = make_job(design, random_sets(config, np.random.default_rng(1), 3), 1)
    simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
    results = simulation.run(job)
    assert [f"{result.test}: {result.failure}" for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0
    assert len(results) == 8 and all(result.outputs for result in results
                                     if not result.test.startswith("latency"))
