"""LayerNorm units against their models, emitted and simulated, at core and AXI4-Stream ports."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import rtl
from sim import runner
from sim.accuracy import calibrate
from sim.bench.jobs import Loads
from sim.bench.rows import Rows
from sim.data import captured, sample
from sim.jobs import make_job
from sim.stimuli import layernorm as layernorm_rows

SAMPLE = sample("layernorm")
UNITS = ("layernorm-ai", "layernorm-exact")
BEATS = 1200


def with_parameters(name, seed=0, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng([seed, 1]))


def rows_of(config, seed=0, beats=BEATS):
    """Directed rows, and random ones."""
    named = Rows.of(layernorm_rows.directed(config))
    return named + layernorm_rows.random_rows(config, np.random.default_rng([seed, 2]), beats)


def directed():
    """Configs that every directed row is run on: (config, ports, speed)."""
    for name in UNITS:
        yield with_parameters(name, lanes=8, channels=21), "core", "fast"
        yield with_parameters(name, lanes=8, channels=61), "core", "slow"
        yield with_parameters(name, lanes=4, channels=24, rms=True, zero_point=0), "axis", "slow"
        yield with_parameters(name, lanes=5, channels=33, row_length="variable", epsilon=3.0), \
            "axis", "slow"
        yield with_parameters(name, lanes=1, channels=7, zero_point=255), "core", "slow"
    yield with_parameters("layernorm-ai", lanes=3, channels=8, row_length="variable"), "axis", \
        "fast"
    yield with_parameters("layernorm-exact", lanes=2, channels=7, rms=True, zero_point=0), "core", \
        "fast"


def sizes():
    """Configs of the row lengths of models, and of the odd ones next to them."""
    for name in UNITS:
        for channels in 1, 192, 384, 768, 1023, 1024:
            yield with_parameters(name, lanes=16, channels=channels), "core", "slow"
        yield with_parameters(name, lanes=16, channels=768, row_length="variable"), "core", "slow"


def random_configs(count):
    for name in UNITS:
        for number in range(count):
            random = np.random.default_rng([number, 3])
            config = layernorm_rows.random_config(rtl.unit(name), random, max_channels=200)
            # Loads have tests of their own.
            config = dataclasses.replace(config, channel_parameters="fixed")
            yield config, "axis" if random.random() < 0.3 else "core", "slow"


def cases():
    for kind, configs in (("directed", directed()), ("sizes", sizes()),
                          ("random", random_configs(10))):
        for number, (config, ports, speed) in enumerate(configs):
            for simulator in runner.SIMULATORS:
                # Verilator takes long to build.
                slow = speed == "slow" or simulator != "icarus"
                yield pytest.param(config, ports, simulator,
                                   id=f"{kind}-{simulator}-{number}-{config.UNIT}-{ports}",
                                   marks=[pytest.mark.slow] if slow else [])


@pytest.fixture
def simulate(tmp_path, store, require_simulator):
    """Simulates rows, which have to come out as the model says."""
    def simulate(config, ports, simulator, rows, tests=None, folder="simulation"):
        require_simulator(simulator)
        design = runner.Design.of(config, ports)
        simulation = runner.Simulation(design, simulator, tmp_path / folder, store=store)
        results = simulation.run(make_job(design, rows), tests)
        assert {result.test: result.failure for result in results if result.failure} == {}
        assert sum(result.mismatches for result in results) == 0
        assert sum(result.outputs for result in results) > 0
    return simulate


@pytest.mark.parametrize("config, ports, simulator", [*cases()])
def test_equals_model(config, ports, simulator, simulate):
    simulate(config, ports, simulator, rows_of(config, beats=200))


@pytest.mark.parametrize("simulator", ["icarus", pytest.param("verilator", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", UNITS)
def test_real_activations(name, simulator, simulate):
    norm = captured.load_norms(SAMPLE)[0]
    result = calibrate.calibrate(name, norm.inputs, norm.gamma, norm.beta, epsilon=norm.epsilon,
                                 lanes=16)
    rows = Rows.of((f"token {k}", row, None) for k, row in enumerate(result.quantise(norm.inputs)))
    simulate(result.config, "core", simulator, rows,
             ["rows_back_to_back", "rows_with_gaps_and_stalls"])


@pytest.mark.slow
@pytest.mark.parametrize("simulator", runner.SIMULATORS)
@pytest.mark.parametrize("name", UNITS)
def test_real_activations_of_every_layer(name, simulator, simulate):
    """One unit whose parameters are loaded computes layer after layer."""
    norms = captured.load_norms(SAMPLE)
    for number, norm in enumerate(norms[1:], 1):
        result = calibrate.calibrate(name, norm.inputs, norm.gamma, norm.beta,
                                     epsilon=norm.epsilon, lanes=32)
        rows = Rows.of((f"{norm.name}, token {k}", row, None)
                       for k, row in enumerate(result.quantise(norm.inputs)))
        simulate(result.config, "core", simulator, rows, ["rows_with_gaps"], f"layer-{number}")


# Parameters loaded at run time

def random_loads(config, count, seed, beats=600):
    random = np.random.default_rng([seed, 4])
    others = [layernorm_rows.channel_parameters(config, random) for _ in range(count)]
    return Loads(layernorm_rows.random_rows(config, random, beats), others)


def loaded():
    for name in UNITS:
        yield with_parameters(name, lanes=4, channels=22, channel_parameters="loaded"), "fast"
        yield with_parameters(name, lanes=3, channels=3, channel_parameters="loaded"), "slow"
        yield with_parameters(name, lanes=5, channels=33, row_length="variable",
                              channel_parameters="loaded"), "slow"
        yield with_parameters(name, lanes=8, channels=200, rms=True, memory="block",
                              channel_parameters="loaded"), "slow"


def load_cases():
    for number, (config, speed) in enumerate(loaded()):
        for simulator in runner.SIMULATORS:
            slow = speed == "slow" or simulator != "icarus"
            yield pytest.param(config, simulator, id=f"{simulator}-{number}-{config.UNIT}",
                               marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("config, simulator", [*load_cases()])
def test_reload_under_load(config, simulator, tmp_path, store, require_simulator):
    require_simulator(simulator)
    design = runner.Design.of(config)
    simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
    results = simulation.run(make_job(design, random_loads(config, 5, 0)))
    assert {result.test: result.failure for result in results if result.failure} == {}
    assert len(results) == 4
    assert sum(result.mismatches for result in results) == 0


def test_config_is_what_was_built():
    """The emitted module has the config's widths."""
    config = dataclasses.replace(with_parameters("layernorm-ai", lanes=3, channels=10), out_bits=11)
    text = runner.Design.of(config).verilog
    assert f"module {config.name}(" in text
    assert f"input [{config.input_layout.size - 1}:0] i__payload" in text
    assert f"output [{3 * 11 + 3}:0] o__payload" in text
