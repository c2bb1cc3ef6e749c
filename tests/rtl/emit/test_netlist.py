"""The synthesised netlist on the bench of the RTL, and faults that the bench has to find."""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl.emit import synthesis
from sim.jobs import make_job
from sim.runner import Design, Simulation
from sim.stimuli import layernorm as layernorm_rows
from sim.stimuli.provider import provider
from sim.testing.mutation import survivors

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("icarus")]


def softmax(name, preset, **parameters):
    return rtl.unit(name).preset(preset, **parameters)


def layernorm(name, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng(1))


def attention(preset, **parameters):
    return rtl.unit("attention").preset(preset, **{
        "dim": 4, "io_lanes": 2, "bits": 4, "max_keys": 9, **parameters})


def job_of(design):
    """What the bench of a design is given."""
    return make_job(design, provider(design.config.UNIT).inputs(
        design.config, "directed", np.random.default_rng(1), beats=400, rows=0))


@pytest.mark.parametrize("config", [
    softmax("softmax-e2", "paper", lanes=4, max_length=64),
    softmax("softmax-e2", "plus", lanes=4, max_length=64),
    softmax("softmax-e2", "plus", lanes=8, max_length=300),
    softmax("softmax-rexp", "plus", lanes=4, max_length=64),
    softmax("softmax-lut2d", "plus", lanes=4, max_length=64),
    softmax("softmax-rexp", "online", lanes=4, max_length=32),
    softmax("softmax-split", "plus", lanes=2, max_length=32),
    softmax("softmax-softermax", "plus", lanes=2, max_length=32),
    layernorm("layernorm-ai", lanes=4, channels=18),
    layernorm("layernorm-ai", lanes=2, channels=7, rms=True, zero_point=117),
    layernorm("layernorm-exact", lanes=3, channels=12),
    layernorm("layernorm-ai", lanes=2, channels=9, row_length="variable", memory="distributed",
              epsilon=2.0),
    attention("dense", lanes=2, softmax="softmax-e2:plus"),
    attention("predict", predict_lanes=2, query_scale=0.3),
    attention("predict", predict_lanes=4, predictor="prefix", prefix_dims=2, rule="top-k", top_k=3),
    attention("conservative", scan_lanes=4),
    attention("aggressive", scan_lanes=2, sort="host", empty="first"),
    attention("reuse", maps=2, value_scale=0.3, memory="block"),
], ids=lambda config: config.name[:40])
def test_netlist_equals_the_model(config, tmp_path):
    design = Design.of(config)
    files = synthesis.netlist(design.verilog, config.name, block_ram=False)
    cells = tmp_path / "cells.v"
    cells.write_text(files["cells.v"])
    netlist = dataclasses.replace(design, verilog=files["netlist.v"], sources=(cells,))
    simulation = Simulation(netlist, "icarus", tmp_path / "simulation")
    results = simulation.run(job_of(netlist))
    assert results
    assert [result for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0


MUTANTS = 16


@pytest.mark.parametrize("config", [
    softmax("softmax-e2", "plus", lanes=2, max_length=24),
    softmax("softmax-lut2d", "plus", lanes=2, max_length=24),
    softmax("softmax-split", "plus", lanes=2, max_length=24),
    layernorm("layernorm-ai", lanes=2, channels=7),
    layernorm("layernorm-exact", lanes=2, channels=7),
    attention("predict", predict_lanes=2),
], ids=lambda config: config.name[:40])
def test_mutants_are_found(config, tmp_path):
    """Two may do nothing: stuck at what no row changes, or initial values that reset sets."""
    design = Design.of(config)
    missed = survivors(design, job_of(design), MUTANTS, tmp_path)
    assert len(missed) <= 2, missed
