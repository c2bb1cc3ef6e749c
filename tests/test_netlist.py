"""The synthesised netlist on the bench of the RTL, and faults that the bench has to find."""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl import synth, yosys
from sim.bench.directed import directed, random_rows
from sim.bench.rows import Rows
from sim.runner import Design, Simulation, SimulatorError, check_simulator, make_job

E2 = rtl.unit("softmax-e2")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def icarus():
    try:
        check_simulator("icarus")
    except SimulatorError as error:
        pytest.skip(str(error))


# Yosys's cell library says nothing of what a block RAM does, so these keep their rows in LUT RAM.
@pytest.mark.parametrize("config", [
    E2(lanes=4, max_length=64), E2.preset("plus", lanes=4, max_length=64),
    E2.preset("plus", lanes=8, max_length=300, memory="distributed")],
    ids=lambda config: config.name)
def test_netlist_equals_the_model(config, tmp_path):
    design = Design.of(config)
    files = synth.netlist(design.verilog, config.name)
    cells = tmp_path / "cells.v"
    cells.write_text(files["cells.v"])
    netlist = dataclasses.replace(design, verilog=files["netlist.v"], sources=(cells,))
    rows = Rows.of(directed(config)) + random_rows(config, np.random.default_rng(1), 600)
    results = Simulation(netlist, "icarus", tmp_path / "simulation").run(make_job(netlist, rows))
    assert [result for result in results if result.failure] == []
    assert sum(result.mismatches for result in results) == 0


MUTANTS = 24


def test_mutants_are_found(tmp_path):
    """Yosys changes one cell or connection at a time, and the tests of the bench have to fail.

    Some mutants do nothing: a stuck-at fault at a value that no row can bring about, or in the
    initial value of a register that reset sets. So not all of them can be found.
    """
    config = E2.preset("plus", lanes=2, max_length=24)
    design = Design.of(config)
    prepare = ["read_verilog design.v", f"prep -flatten -top {config.name}"]
    listed = yosys.run([*prepare, f"mutate -list {MUTANTS} -seed 1 -o mutants.txt"],
                       {"design.v": design.verilog})["mutants.txt"].splitlines()
    rows = Rows.of(directed(config)) + random_rows(config, np.random.default_rng(1), 400)
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

