"""Faults put into a synthesised design, one at a time, for tests of the benches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rtl.emit import yosys

from ..bench.jobs import Job
from ..runner import Design, Simulation, SimulatorError

__all__ = ["survivors"]


def survivors(design: Design, job: Job, count: int, folder: Path, seed: int = 1) -> list[str]:
    """Return those of ``count`` single faults of a design that a bench does not find.

    Yosys draws them (``mutate``): a pin inverted, stuck, or depending on another signal. They are
    put behind logic optimisation, into look-up tables and registers: before it, up to half of them
    do nothing, as they hit what the optimisation removes.
    """
    name = design.config.name
    mapped = yosys.run([
        "read_verilog design.v", f"synth -flatten -lut 6 -top {name}", "opt_clean",
        "write_verilog -noattr mapped.v"], {"design.v": design.verilog})
    prepare = ["read_verilog mapped.v", f"hierarchy -top {name}", "proc"]
    mutations = yosys.run([*prepare, f"mutate -list {count} -seed {seed} -o mutants.txt"],
                          mapped)["mutants.txt"].splitlines()
    assert len(mutations) == count
    found = []
    for number, mutation in enumerate(mutations):
        written = yosys.run([*prepare, mutation, "write_verilog -noattr mutant.v"], mapped)
        mutant = dataclasses.replace(design, verilog=written["mutant.v"])
        try:
            simulation = Simulation(mutant, "icarus", folder / str(number))
            results = simulation.run(dataclasses.replace(job, seed=number))
        except SimulatorError:
            continue
        if not any(result.failure for result in results):
            found.append(mutation)
    return found
