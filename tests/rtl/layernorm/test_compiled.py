"""LayerNorm units against their models, emitted and compiled, at core and AXI4-Stream ports.

Each configuration runs all tests of the comparison: bits, cycles, latency, gaps, stalls, resets,
rows that are too long, ``keep`` that is malformed. The number in a test's name repeats it.
"""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl.parameter import Integer
from sim.accuracy import calibrate
from sim.bench.jobs import Loads
from sim.bench.rows import Rows
from sim.data import captured, sample
from sim.stimuli import layernorm as layernorm_rows
from sim.stimuli.provider import random_config
from sim.testing.compiled import check, design_of

SAMPLE = sample("layernorm")
UNITS = ("layernorm-ai", "layernorm-exact")

pytestmark = pytest.mark.usefixtures("verilator")


def with_parameters(name, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng([0, 1]))


def rows_of(config, beats=1200):
    """Directed rows, and random ones."""
    named = Rows.of(layernorm_rows.directed(config))
    return named + layernorm_rows.random_rows(config, np.random.default_rng([0, 2]), beats)


def directed():
    """Configs that every directed row is run on: (config, ports)."""
    for name in UNITS:
        yield with_parameters(name, lanes=8, channels=21), "core"
        yield with_parameters(name, lanes=8, channels=61), "core"
        yield with_parameters(name, lanes=4, channels=24, rms=True, zero_point=0), "axis"
        yield with_parameters(name, lanes=5, channels=33, row_length="variable", epsilon=3.0), \
            "axis"
        yield with_parameters(name, lanes=1, channels=7, zero_point=255), "core"
    yield with_parameters("layernorm-ai", lanes=3, channels=8, row_length="variable"), "axis"
    yield with_parameters("layernorm-exact", lanes=2, channels=7, rms=True, zero_point=0), "core"


def sizes():
    """Configs of the row lengths of models, and of the odd ones next to them."""
    for name in UNITS:
        for channels in 1, 768, 1023, 1024:
            yield with_parameters(name, lanes=8, channels=channels), "core"
        yield with_parameters(name, lanes=8, channels=768, row_length="variable"), "core"


def random_configs(count):
    for name in UNITS:
        for number in range(count):
            random = np.random.default_rng([number, 3])
            config = random_config(rtl.unit(name), random, channels=Integer(1, 200))
            # Loads have tests of their own.
            config = dataclasses.replace(config, channel_parameters="fixed")
            yield config, "axis" if random.random() < 0.3 else "core"


def cases():
    for kind, configs in (("directed", directed()), ("sizes", sizes()),
                          ("random", random_configs(4))):
        for number, (config, ports) in enumerate(configs):
            # Many lanes and tables take long to emit.
            slow = kind != "directed" or config.lanes > 3
            yield pytest.param(config, ports, id=f"{kind}-{number}-{config.UNIT}-{ports}",
                               marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("config, ports", [*cases()])
def test_equals_model(config, ports):
    assert len(check(config, rows_of(config), ports)) == 9


def calibrated(name, norm, lanes):
    """A config for a captured LayerNorm, and its inputs."""
    result = calibrate.calibrate(name, norm.inputs, norm.gamma, norm.beta, epsilon=norm.epsilon,
                                 lanes=lanes, fewest_tokens=1)
    return result.config, Rows.of((f"{norm.name}, token {k}", row, None)
                                  for k, row in enumerate(result.quantise(norm.inputs)))


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_real_activations(name):
    config, rows = calibrated(name, captured.load_norms(SAMPLE)[0], 16)
    check(config, rows)


# Parameters loaded at run time

def random_loads(config, count):
    random = np.random.default_rng([0, 4])
    others = [layernorm_rows.channel_parameters(config, random) for _ in range(count)]
    return Loads(layernorm_rows.random_rows(config, random, 1200), others)


def loaded():
    for name in UNITS:
        yield with_parameters(name, lanes=4, channels=22, channel_parameters="loaded")
        yield with_parameters(name, lanes=3, channels=3, channel_parameters="loaded")
        yield with_parameters(name, lanes=5, channels=33, row_length="variable",
                              channel_parameters="loaded")
        yield with_parameters(name, lanes=8, channels=200, rms=True, memory="block",
                              channel_parameters="loaded")


@pytest.mark.parametrize("config", [
    pytest.param(config, id=config.name, marks=[pytest.mark.slow] if number % 4 else [])
    for number, config in enumerate(loaded())])
def test_reload_under_load(config):
    assert len(check(config, random_loads(config, 5))) == 4


def test_config_is_what_was_built():
    """The emitted module has the config's widths."""
    config = dataclasses.replace(with_parameters("layernorm-ai", lanes=3, channels=10), out_bits=11)
    text = design_of(config).verilog
    assert f"module {config.name}(" in text
    assert f"input [{config.input_layout.size - 1}:0] i__payload" in text
    assert f"output [{3 * 11 + 3}:0] o__payload" in text
