"""The synthesised netlists of LayerNorm units on the bench of the RTL, and mutants of the RTL."""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl import synth, yosys
from sim.bench import layernorm_rows
from sim.bench.rows import Rows
from sim.runner import Design, Simulation, SimulatorError, check_simulator, make_job

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def icarus():
    try:
        check_simulator("icarus")
    except SimulatorError as error:
        pytest.skip(str(error))


def with_parameters(name, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng(1))


def rows_of(config, beats):
    return Rows.of(layernorm_rows.directed(config)) + layernorm_rows.random_rows(
        config, np.random.default_rng(2), beats)


# Yosys's cell library says nothing of what a block RAM does, so these keep their rows in LUT RAM.
@pytest.mark.parametrize("config", [
    with_parameters("layernorm-ai", lanes=4, channels=18),
    with_parameters("layernorm-ai", lanes=2, channels=7, rms=True, zero_point=117),
    with_parameters("layernorm-exact", lanes=3, channels=12),
    with_parameters("layernorm-ai", lanes=2, channels=9, row_length="variable",
                    memory="distributed", epsilon=2.0),
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


MUTANTS = 24


@pytest.mark.parametrize("name", ["layernorm-ai", "layernorm-exact"])
def test_mutants_are_found(name, tmp_path):
    """Yosys changes one cell or connection at a time, and the tests of the bench have to fail.

    Some mutants do nothing: a stuck-at fault at a value that no row can bring about, or in the
    initial value of a register that reset sets. So not all of them can be found.
    """
    config = with_parameters(name, lanes=2, channels=7)
    design = Design.of(config)
    prepare = ["read_verilog design.v", f"prep -flatten -top {config.name}"]
    listed = yosys.run([*prepare, f"mutate -list {MUTANTS} -seed 1 -o mutants.txt"],
                       {"design.v": design.verilog})["mutants.txt"].splitlines()
    rows = rows_of(config, 200)
    survivors = []
    for number, mutation in enumerate(listed):
        written = yosys.run([*prepare, mutation, "write_verilog -noattr mutant.v"],
                            {"design.v": design.verilog})
        mutant = dataclasses.replace(design, verilog=written["mutant.v"])
        try:
            simulation = Simulation(mutant, "icarus", tmp_path / str(number))
            results = simulation.run(make_job(mutant, rows, seed=number))
        except SimulatorError:
            continue
        if not any(result.failure for result in results):
            survivors.append(mutation)
    assert len(survivors) <= MUTANTS // 6, survivors
