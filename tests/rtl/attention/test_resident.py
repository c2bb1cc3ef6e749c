"""The attention engine with resident sets: emitted and compiled, and in cocotb, against its model.

Each job runs all tests of the comparison: bits, marks, latency, gaps, stalls, resets, ``last``
where it should not be. Configurations are the ones at the corners: one key, a ring that wraps
inside an append, sinks that fill their words or do not, positions that wrap.
"""

import numpy as np
import pytest

import rtl
from rtl import ConfigError
from rtl.attention.resident.arrival import TOKEN_CYCLES
from sim import runner
from sim.jobs import make_job
from sim.stimuli.resident import decode_script, random_script
from sim.testing.compiled import check, check_job, design_of

Attention = rtl.unit("attention")


def resident(**parameters):
    return Attention(store="resident", **parameters)


PLAIN = resident(dim=4, io_lanes=2, max_keys=24, sets=2, causal=True)
RING = resident(dim=6, value_dim=12, io_lanes=6, max_keys=24, lanes=4, sets=3, causal=True,
                window=6, sinks=5, chunk=5)
WRAPS = resident(dim=3, io_lanes=1, max_keys=12, lanes=2, causal=True, window=4, sinks=1,
                 chunk=5, position_bits=8)
ONLINE = resident(dim=3, value_dim=5, io_lanes=1, max_keys=16, lanes=4, sets=2, causal=True,
                  window=6, sinks=3, chunk=5, datapath="online", heads=3, scales="run-time",
                  sink=True)
ALL_SEEN = resident(dim=4, io_lanes=4, max_keys=16, lanes=4, sets=2)

GROUPED = resident(dim=4, value_dim=2, io_lanes=2, max_keys=16, lanes=2, sets=2, heads=3,
                   causal=True, scales="run-time", sink=True, dsp_packing=True)

BIASED = resident(dim=2, io_lanes=2, max_keys=16, lanes=4, sets=2, causal=True, window=6, sinks=5,
                  chunk=3, bias="add")

QUICK = [(GROUPED, "core"), (WRAPS, "core")]
SLOW = [(PLAIN, "core"), (RING, "axis"), (ONLINE, "core"), (ALL_SEEN, "axis"), (BIASED, "core"),
        (resident(dim=1, io_lanes=1, max_keys=1, sets=3), "core"),
        (resident(dim=4, io_lanes=2, max_keys=16, lanes=2, window=3, sinks=1, chunk=8), "core"),
        (resident(dim=16, io_lanes=8, max_keys=96, lanes=2, sets=2, causal=True, memory="block",
                  softmax="softmax-softermax:plus"), "core")]


def cases():
    for configs, marks in (QUICK, []), (SLOW, [pytest.mark.slow]):
        for config, ports in configs:
            yield pytest.param(config, ports, id=f"{config.name}-{ports}", marks=marks)


@pytest.mark.usefixtures("verilator")
@pytest.mark.parametrize("config, ports", [*cases()])
def test_equals_model(config, ports):
    script = random_script(config, np.random.default_rng(1), 300)
    assert len(check(config, script, ports, seed=1)) == 7


@pytest.mark.usefixtures("verilator")
def test_decoding_for_ever():
    """Token by token, until positions have wrapped twice: exact, and nothing is marked."""
    script = decode_script(WRAPS, np.random.default_rng(2), 540)
    job = make_job(design_of(WRAPS), script)
    assert not job.script.marked.any() and not job.script.error
    check_job(job, ["commands_back_to_back"])


@pytest.mark.slow
@pytest.mark.parametrize("config, ports, simulator", [
    (RING, "axis", "icarus"), (PLAIN, "core", "verilator")])
def test_in_cocotb(config, ports, simulator, tmp_path, store, require_simulator):
    require_simulator(simulator)
    design = runner.Design.of(config, ports)
    job = make_job(design, random_script(config, np.random.default_rng(3), 30), 3)
    results = runner.Simulation(design, simulator, tmp_path / "simulation", store=store).run(job)
    assert [f"{result.test}: {result.failure}" for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0
    assert len(results) == 7


# Configuration

@pytest.mark.parametrize(("text", "parameters"), [
    ("lanes must be a power of two", {"lanes": 3, "max_keys": 24}),
    ("max_keys must be a multiple of lanes", {"lanes": 4, "max_keys": 22}),
    ("sinks must be 0 without a window", {"sinks": 2}),
    ("max_keys must be at least 16 for this window", {"window": 7, "sinks": 5, "chunk": 2,
                                                      "lanes": 4, "max_keys": 12}),
    ("position_bits must be at least 9", {"max_keys": 40, "position_bits": 8}),
    ("select must be none", {"select": "predict"}),
    ("reuse must be false", {"reuse": True}),
    ("heads must be 1 for scales \"fixed\"", {"heads": 2}),
])
def test_refusals(text, parameters):
    with pytest.raises(ConfigError, match=text):
        resident(**parameters)


@pytest.mark.parametrize(("datapath", "passes"), [("two-pass", 2), ("online", 1)])
@pytest.mark.parametrize("lanes", [1, 4])
def test_latency_of_a_token(lanes, datapath, passes):
    """At 320 keys of 64 elements: so many passes over the keys and 60 cycles, and no loads."""
    config = resident(lanes=lanes, causal=True, datapath=datapath)
    assert config.query_latency(320) + TOKEN_CYCLES <= passes * 320 // lanes + 60
