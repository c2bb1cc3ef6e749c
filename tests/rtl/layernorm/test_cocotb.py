"""LayerNorm units in cocotb, for X in Icarus and for the bench in Verilator, at both ports."""

import numpy as np
import pytest

import rtl
from sim import runner
from sim.bench.jobs import Loads
from sim.bench.rows import Rows
from sim.jobs import make_job
from sim.stimuli import layernorm as layernorm_rows

UNITS = ("layernorm-ai", "layernorm-exact")
FIXED = {"lanes": 4, "channels": 10}
VARIABLE = {"lanes": 3, "channels": 8, "row_length": "variable"}
LOADED = {"lanes": 4, "channels": 14, "channel_parameters": "loaded"}


def with_parameters(name, parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng([0, 1]))


def case(name, parameters, ports, simulator, slow=True):
    return pytest.param(name, parameters, ports, simulator, id=f"{simulator}-{name}-{ports}",
                        marks=[pytest.mark.slow] if slow else [])


@pytest.fixture
def simulate(tmp_path, store, require_simulator):
    """Simulates inputs in all tests of the bench; returns how many there are."""
    def simulate(config, ports, simulator, inputs):
        require_simulator(simulator)
        design = runner.Design.of(config, ports)
        simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
        results = simulation.run(make_job(design, inputs))
        assert {result.test: result.failure for result in results if result.failure} == {}
        assert sum(result.mismatches for result in results) == 0
        assert sum(result.outputs for result in results) > 0
        return len(results)
    return simulate


@pytest.mark.parametrize("name, parameters, ports, simulator", [
    case("layernorm-ai", FIXED, "core", "icarus"),
    case("layernorm-exact", VARIABLE, "axis", "icarus", slow=False),
    case("layernorm-ai", VARIABLE, "axis", "icarus"),
    case("layernorm-exact", FIXED, "core", "icarus"),
    case("layernorm-ai", VARIABLE, "axis", "verilator")])
def test_equals_model(name, parameters, ports, simulator, simulate):
    config = with_parameters(name, parameters)
    rows = Rows.of(layernorm_rows.directed(config))
    rows += layernorm_rows.random_rows(config, np.random.default_rng([0, 2]), 60)
    assert simulate(config, ports, simulator, rows) == 9


@pytest.mark.parametrize("name, parameters, ports, simulator", [
    case("layernorm-ai", LOADED, "core", "icarus"),
    case("layernorm-exact", LOADED, "core", "icarus"),
    case("layernorm-ai", LOADED, "core", "verilator")])
def test_reload_under_load(name, parameters, ports, simulator, simulate):
    config = with_parameters(name, parameters)
    random = np.random.default_rng([0, 4])
    loads = [layernorm_rows.channel_parameters(config, random) for _ in range(5)]
    rows = layernorm_rows.random_rows(config, random, 300)
    assert simulate(config, ports, simulator, Loads(rows, loads)) == 4
