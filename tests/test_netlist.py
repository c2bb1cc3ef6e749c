"""The synthesised netlist on the bench of the RTL, and faults that the bench has to find."""

import dataclasses

import numpy as np
import pytest
from mutation import survivors

import rtl
from rtl import synth
from sim.bench import directed, layernorm_rows
from sim.bench.rows import Rows
from sim.runner import Design, Simulation, make_job

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("icarus")]


def softmax(name, preset, **parameters):
    return rtl.unit(name).preset(preset, **parameters)


def layernorm(name, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng(1))


def rows_of(config, beats):
    rows = directed if config.UNIT.startswith("softmax-") else layernorm_rows
    return (Rows.of(rows.directed(config))
            + rows.random_rows(config, np.random.default_rng(1), beats))


# Yosys's cell library says nothing of what a block RAM does, so these keep their rows in LUT RAM.
@pytest.mark.parametrize("config", [
    softmax("softmax-e2", "paper", lanes=4, max_length=64),
    softmax("softmax-e2", "plus", lanes=4, max_length=64),
    softmax("softmax-e2", "plus", lanes=8, max_length=300, memory="distributed"),
    softmax("softmax-rexp", "plus", lanes=4, max_length=64),
    softmax("softmax-lut2d", "plus", lanes=4, max_length=64, sigma_memory="lut"),
    softmax("softmax-rexp", "online", lanes=4, max_length=32),
    softmax("softmax-split", "plus", lanes=2, max_length=32, reciprocal="divider"),
    softmax("softmax-softermax", "plus", lanes=2, max_length=32),
    layernorm("layernorm-ai", lanes=4, channels=18),
    layernorm("layernorm-ai", lanes=2, channels=7, rms=True, zero_point=117),
    layernorm("layernorm-exact", lanes=3, channels=12),
    layernorm("layernorm-ai", lanes=2, channels=9, row_length="variable", memory="distributed",
              epsilon=2.0),
], ids=lambda config: config.name[:40])
def test_netlist_equals_the_model(config, tmp_path):
    design = Design.of(config)
    files = synth.netlist(design.verilog, config.name)
    cells = tmp_path / "cells.v"
    cells.write_text(files["cells.v"])
    netlist = dataclasses.replace(design, verilog=files["netlist.v"], sources=(cells,))
    simulation = Simulation(netlist, "icarus", tmp_path / "simulation")
    results = simulation.run(make_job(netlist, rows_of(config, 200)))
    assert [result for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0


MUTANTS = 16


@pytest.mark.parametrize("config", [
    softmax("softmax-e2", "plus", lanes=2, max_length=24),
    softmax("softmax-lut2d", "plus", lanes=2, max_length=24),
    softmax("softmax-split", "plus", lanes=2, max_length=24),
    layernorm("layernorm-ai", lanes=2, channels=7),
    layernorm("layernorm-exact", lanes=2, channels=7),
], ids=lambda config: config.UNIT)
def test_mutants_are_found(config, tmp_path):
    """Two may do nothing: stuck at what no row changes, or initial values that reset sets."""
    missed = survivors(Design.of(config), rows_of(config, 200), MUTANTS, tmp_path)
    assert len(missed) <= 2, missed
