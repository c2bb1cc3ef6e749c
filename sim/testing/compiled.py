"""Emitted designs in the compiled simulation: each emitted once a process, compared by one call."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from rtl.config import UnitConfig

from ..bench.jobs import Job
from ..compiled.comparisons import compare
from ..compiled.simulation import CompiledSimulation
from ..jobs import make_job
from ..runner import Design, TestResult
from ..stimuli.provider import Inputs

__all__ = ["check", "check_job", "design_of"]

@functools.cache
def design_of(config: UnitConfig, ports: str = "core") -> Design:
    """Return the design of a configuration, emitted when it is asked for first."""
    return Design.of(config, ports)


def check(config: UnitConfig, inputs: Inputs, ports: str = "core",
          tests: Sequence[str] | None = None, seed: int = 0) -> list[TestResult]:
    """Compare a unit with its model on rows, rows and loads, sets, or batches.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    inputs : Inputs
        What the unit is given.
    ports : "core" or "axis"
        Ports to test the unit at.
    tests : sequence of str
        Tests of the comparison; by default all.
    seed : int
        Seed of all that is random beside the inputs.

    Raises
    ------
    AssertionError
        If a test fails or compares nothing; the message has the configuration and the seed.
    """
    return check_job(make_job(design_of(config, ports), inputs, seed), tests)


def check_job(job: Job, tests: Sequence[str] | None = None) -> list[TestResult]:
    """Compare a unit with what a job expects, as :func:`check` does."""
    design = design_of(job.config, job.ports)
    with CompiledSimulation(design, seed=job.seed) as simulation:
        results = compare(simulation, job, tests)
    failures = [f"{result.test}: {result.failure}" for result in results if result.failure]
    failures += [f"{result.test}: {result.mismatches} mismatches in {result.outputs} outputs"
                 for result in results if not result.failure
                 and (result.mismatches or not result.outputs)]
    assert not failures, "\n".join([*failures, f"seed {job.seed}, {job.ports} ports of",
                                    job.config.to_toml()])
    return results
